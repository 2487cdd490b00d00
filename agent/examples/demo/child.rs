//! The processes of the demo: this same program, started again under another role.
//!
//! A child ends when its standard input closes: the kernel closes that pipe for us, however the parent dies. It
//! writes one line of JSON when it is ready and may write more later; its log goes to a file that is shown if it
//! fails.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe;

/// How long a child may take until it is ready.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a child may take to end in order.
const END_TIMEOUT: Duration = Duration::from_secs(8);

/// A running child.
pub(crate) struct Child {
    role: String,
    process: std::process::Child,
    life: Option<ChildStdin>,
    reports: Lines<BufReader<pipe::Receiver>>,
    log: PathBuf,
}

impl Child {
    /// Starts this program again under `role` with `arguments`, its log in `directory`, and waits for its first report.
    pub(crate) async fn start<Ready: DeserializeOwned>(
        role: &str,
        arguments: &[&str],
        name: &str,
        directory: &Path,
    ) -> anyhow::Result<(Self, Ready)> {
        let log = directory.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut process = Command::new(std::env::current_exe()?)
            .arg(role)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            // A group of its own: Ctrl-C ends the parent, and the parent ends the children in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let life = process.stdin.take();
        let output = process.stdout.take().context("a child without output")?;
        let reports = BufReader::new(pipe::Receiver::from_owned_fd(OwnedFd::from(output))?).lines();
        let mut child = Self {
            role: name.to_owned(),
            process,
            life,
            reports,
            log,
        };
        let ready = tokio::time::timeout(START_TIMEOUT, child.report()).await;
        match ready {
            Ok(Ok(ready)) => Ok((child, ready)),
            Ok(Err(error)) => Err(error),
            Err(_) => bail!(
                "{name} was not ready within {START_TIMEOUT:?}\n{}",
                child.last_words()
            ),
        }
    }

    /// The next line that the child reports.
    pub(crate) async fn report<Report: DeserializeOwned>(&mut self) -> anyhow::Result<Report> {
        match self.reports.next_line().await? {
            Some(line) => serde_json::from_str(&line)
                .with_context(|| format!("{} reported {line:?}", self.role)),
            None => bail!("{} ended by itself\n{}", self.role, self.last_words()),
        }
    }

    /// Whether it still runs; an error with the end of its log where it does not.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => bail!(
                "{} ended by itself ({status})\n{}",
                self.role,
                self.last_words()
            ),
        }
    }

    /// Lets it end in order, and kills it where it does not.
    pub(crate) async fn end(mut self) {
        drop(self.life.take());
        // Its output closes when it ends: that is the thing to wait for.
        let ended = async { while let Ok(Some(_)) = self.reports.next_line().await {} };
        if tokio::time::timeout(END_TIMEOUT, ended).await.is_err() {
            eprintln!(
                "{} did not end within {END_TIMEOUT:?} and is killed",
                self.role
            );
        }
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(12).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        format!("the end of its log:\n  {}", tail.join("\n  "))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Already ended in the ordinary case; both calls are harmless then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The child's side: its standard input, which closes when the parent is gone.
pub(crate) struct Parent(pipe::Receiver);

impl Parent {
    /// Takes this process' standard input, which must be the pipe of the parent.
    pub(crate) fn take() -> anyhow::Result<Self> {
        let input = std::io::stdin().as_fd().try_clone_to_owned()?;
        let pipe = pipe::Receiver::from_owned_fd(input);
        Ok(Self(pipe.context(
            "this role is for the demo itself: standard input is no pipe",
        )?))
    }

    /// Waits until the parent is gone.
    pub(crate) async fn ended(mut self) {
        // Whatever it may say is not meant for us; its silence for good is.
        let _ = tokio::io::copy(&mut self.0, &mut tokio::io::sink()).await;
    }
}

/// The child's side: writes one report to the parent.
pub(crate) fn report(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, value)?;
    writeln!(output)?;
    output.flush()?;
    Ok(())
}
