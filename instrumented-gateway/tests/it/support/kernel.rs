//! What the kernel says of this process's sockets: the truth that published counts are held against.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

const TIME_WAIT: &[u8] = b"06";
const LINE_BYTES: usize = 150;

/// Remembers which of this process's sockets lead where: one that was reset vanishes from the kernel's table, while its
/// descriptor is still held.
#[derive(Debug)]
pub(crate) struct Kernel {
    upstreams: Vec<SocketAddr>,
    leads_upstream: HashMap<u64, bool>,
    /// Sockets of the test's runtimes, which are no TCP sockets.
    others: HashSet<u64>,
}

impl Kernel {
    /// Looks at sockets whose remote address is one of these.
    pub(crate) fn new(upstreams: &[SocketAddr]) -> Self {
        let mut kernel = Self {
            upstreams: upstreams.to_vec(),
            leads_upstream: HashMap::new(),
            others: HashSet::new(),
        };
        kernel.remember();
        let known = &kernel.leads_upstream;
        kernel.others = descriptors()
            .into_iter()
            .filter(|inode| !known.contains_key(inode))
            .collect();
        kernel
    }

    /// How many sockets lead to the upstreams; `None` where one is held that was never seen in the table, so that nobody
    /// can tell where it led.
    pub(crate) fn sockets(&mut self) -> Option<u64> {
        self.remember();
        let mut sockets = 0;
        for inode in descriptors() {
            match self.leads_upstream.get(&inode) {
                Some(leads_upstream) => sockets += u64::from(*leads_upstream),
                None if self.others.contains(&inode) => {}
                None => return None,
            }
        }
        Some(sockets)
    }

    fn remember(&mut self) {
        let table = fs::read("/proc/self/net/tcp").expect("the kernel's table");
        for line in table.chunks(LINE_BYTES).skip(1) {
            assert_eq!(line.last(), Some(&b'\n'), "lines are padded to one length");
            // The number of the line grows with it, up to a colon.
            let colon = line.iter().position(|byte| *byte == b':');
            let columns = &line[colon.expect("a number") + 2..];
            // A connection that waits for its time to pass belongs to no descriptor; there are thousands.
            if columns[28..30] == *TIME_WAIT {
                continue;
            }
            let columns = str::from_utf8(columns).expect("text");
            let remote = &columns[14..27];
            let inode = columns.split_ascii_whitespace().nth(8);
            let inode = inode.and_then(|inode| inode.parse().ok());
            let leads_upstream = self.upstreams.contains(&address(remote));
            self.leads_upstream
                .insert(inode.expect("an inode"), leads_upstream);
        }
    }
}

/// The inodes of the sockets among this process's descriptors.
fn descriptors() -> Vec<u64> {
    let entries = fs::read_dir("/proc/self/fd").expect("descriptors");
    entries
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|target| {
            let inode = target.to_str()?.strip_prefix("socket:[")?;
            inode.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

/// `0100007F:1F90` is 127.0.0.1:8080: the address is in the byte order of the machine.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').expect("address and port");
    let ip = u32::from_str_radix(ip, 16).expect("an address");
    let port = u16::from_str_radix(port, 16).expect("a port");
    SocketAddrV4::new(Ipv4Addr::from(ip.to_ne_bytes()), port).into()
}
