//! What an operator's scraper sees.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A connection to a metrics listener, for a thread of its own.
pub(crate) struct Scraper(BufReader<TcpStream>);

/// The lines of one scrape.
pub(crate) struct Scrape(String);

impl Scraper {
    pub(crate) fn connect(metrics: SocketAddr) -> Self {
        let stream = TcpStream::connect(metrics).expect("the metrics listener");
        Self(BufReader::new(stream))
    }

    pub(crate) fn scrape(&mut self) -> Scrape {
        let request = b"GET /metrics HTTP/1.1\r\nhost: metrics\r\n\r\n";
        self.0.get_mut().write_all(request).expect("sent");
        let mut length = 0;
        loop {
            let mut line = String::new();
            let read = self.0.read_line(&mut line).expect("a head");
            assert_ne!(read, 0, "the metrics listener closed the connection");
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("a body");
        Scrape(String::from_utf8(body).expect("text"))
    }
}

impl Scrape {
    /// The series of one metric with these labels, and their values.
    fn series<'s>(
        &'s self,
        name: &str,
        labels: &[(&str, &str)],
    ) -> impl Iterator<Item = (&'s str, f64)> {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{value}\""))
            .collect();
        let of_it = |line: &&str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        let lines = self
            .0
            .lines()
            .filter(of_it)
            .filter(move |line| labels.iter().all(|label| line.contains(label.as_str())));
        let series: Vec<_> = lines
            .filter_map(|line| {
                let (series, value) = line.rsplit_once(' ')?;
                Some((series, value.parse().expect("a value")))
            })
            .collect();
        series.into_iter()
    }

    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.series(name, labels).map(|(_, value)| value).sum()
    }

    /// The series of a metric that are not zero.
    pub(crate) fn above_zero(&self, name: &str) -> Vec<String> {
        self.series(name, &[])
            .filter(|(_, value)| *value != 0.0)
            .map(|(series, value)| format!("{series} {value}"))
            .collect()
    }
}
