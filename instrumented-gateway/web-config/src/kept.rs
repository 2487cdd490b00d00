//! TLS whose section stands in another configuration, kept up to date with the certificates that it names.
//!
//! The section is read whole, with the mistakes of the files that it names, when its configuration is. Afterwards its
//! files are looked at whenever a connection is made: a look costs microseconds beside a handshake. A pair that cannot be
//! used is told once, and the former stays in force until the files change again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use checked_yaml::{Mistakes, Node};
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::{self, Client};
use crate::connection::{AcceptError, Connection};
use crate::tls;
use crate::watched::Watched;

/// How often certificates were read again since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewals {
    /// With success: they are in force.
    pub renewed: u64,
    /// Without: the former stayed in force.
    pub refused: u64,
}

/// TLS of a listener: `tls_server_config` of a web configuration, as a section. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls(Kept<Arc<ServerConfig>>);

/// TLS towards servers: Prometheus' `tls_config`, as a section. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls(Kept<Client>);

/// What a section says, and what it said of its files.
#[derive(Clone, Debug)]
struct Kept<T> {
    state: Arc<Mutex<State<T>>>,
    read: Read<T>,
}

/// Reads a section whose files are relative to a folder, with the protocols to offer.
type Read<T> = fn(&Node, &Path, &[Vec<u8>], &mut Watched, &mut Mistakes) -> Option<T>;

#[derive(Clone, Debug, PartialEq)]
struct Section {
    node: Node,
    directory: PathBuf,
    protocols: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct State<T> {
    section: Section,
    in_force: T,
    /// The files as they were when they were read last, with or without success.
    watched: Watched,
    renewals: Renewals,
}

impl ServerTls {
    /// Reads a section; the files that it names are relative to `directory`. `protocols` are offered, the preferred one
    /// first. `None` where something is wrong, which is among the mistakes then.
    pub fn read(
        node: &Node,
        directory: &Path,
        protocols: &[&str],
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let read: Read<_> = |node, directory, protocols, watched, mistakes| {
            let tls = tls::read(node, directory, protocols, watched, mistakes)?;
            Some(tls.server)
        };
        Kept::begin(node, directory, protocols, read, mistakes).map(Self)
    }

    /// Takes a connection in: shakes hands, within ten seconds.
    ///
    /// # Errors
    /// Why there is nobody to serve.
    pub async fn accept(&self, stream: TcpStream) -> Result<Connection, AcceptError> {
        let tls = self.0.current();
        Connection::accept(stream, Some(tls)).await
    }

    /// Reads the certificates again, whether they look changed or not; `false` where they cannot be used.
    pub fn reread(&self) -> bool {
        self.0.renew(&mut self.0.state())
    }

    /// Puts in force what another section says, for connections that come from now on.
    pub fn adopt(&self, other: &Self) {
        self.0.adopt(&other.0);
    }

    /// How often certificates were read again.
    pub fn renewals(&self) -> Renewals {
        self.0.state().renewals
    }
}

impl ClientTls {
    /// Reads a section, as [`ServerTls::read`]; null is the default, which trusts whom the system trusts.
    pub fn read(
        node: &Node,
        directory: &Path,
        protocols: &[&str],
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        Kept::begin(node, directory, protocols, client::read, mistakes).map(Self)
    }

    /// Shakes hands as a client of `host`, a name or an address without brackets, and offers `protocols` in place of those
    /// of the section where there are any. The caller bounds the time.
    ///
    /// # Errors
    /// Where `host` is no name of a host, or why the server is not to be trusted or not reached.
    pub async fn connect<S>(
        &self,
        host: &str,
        stream: S,
        protocols: Option<&[&str]>,
    ) -> io::Result<Connection<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Client { mut config, name } = self.0.current();
        if let Some(protocols) = protocols {
            Arc::make_mut(&mut config).alpn_protocols = bytes_of(protocols);
        }
        let name = match name {
            Some(name) => name,
            None => ServerName::try_from(host.to_owned())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
        };
        let shaken = TlsConnector::from(config).connect(name, stream).await;
        shaken.map(Connection::tls)
    }

    /// Reads the certificates again, whether they look changed or not; `false` where they cannot be used.
    pub fn reread(&self) -> bool {
        self.0.renew(&mut self.0.state())
    }

    /// Puts in force what another section says, for connections that are made from now on.
    pub fn adopt(&self, other: &Self) {
        self.0.adopt(&other.0);
    }

    /// How often certificates were read again.
    pub fn renewals(&self) -> Renewals {
        self.0.state().renewals
    }
}

fn bytes_of(protocols: &[&str]) -> Vec<Vec<u8>> {
    let bytes = protocols.iter().map(|name| name.as_bytes().to_vec());
    bytes.collect()
}

impl Section {
    fn read<T>(&self, read: Read<T>, watched: &mut Watched, mistakes: &mut Mistakes) -> Option<T> {
        let Self {
            node,
            directory,
            protocols,
        } = self;
        read(node, directory, protocols, watched, mistakes)
    }
}

impl<T> Kept<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Kept<T> {
    fn begin(
        node: &Node,
        directory: &Path,
        protocols: &[&str],
        read: Read<T>,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let section = Section {
            node: node.clone(),
            directory: directory.to_owned(),
            protocols: bytes_of(protocols),
        };
        let mut watched = Watched::default();
        let in_force = section.read(read, &mut watched, mistakes)?;
        let state = State {
            section,
            in_force,
            watched,
            renewals: Renewals::default(),
        };
        Some(Self {
            state: Arc::new(Mutex::new(state)),
            read,
        })
    }

    /// What is in force, read again where a file has changed.
    fn current(&self) -> T {
        let mut state = self.state();
        if state.watched.has_changed() {
            self.renew(&mut state);
        }
        state.in_force.clone()
    }

    fn renew(&self, state: &mut State<T>) -> bool {
        let (mut watched, mut mistakes) = (Watched::default(), Mistakes::new());
        let read = state.section.read(self.read, &mut watched, &mut mistakes);
        state.watched = watched;
        let section = &state.section.node.place.key;
        match mistakes.into_result(read) {
            Ok(Some(read)) => {
                state.in_force = read;
                state.renewals.renewed += 1;
                tracing::info!(section, "the certificates were read again");
                true
            }
            Ok(None) => {
                state.renewals.refused += 1;
                tracing::error!(
                    section,
                    "the changed certificates cannot be used; the former stay in force"
                );
                false
            }
            Err(mistakes) => {
                state.renewals.refused += 1;
                tracing::error!(
                    section,
                    %mistakes,
                    "the changed certificates cannot be used; the former stay in force"
                );
                false
            }
        }
    }

    fn adopt(&self, other: &Self) {
        if Arc::ptr_eq(&self.state, &other.state) {
            return;
        }
        let (section, in_force, watched) = {
            let other = other.state();
            let (section, in_force) = (other.section.clone(), other.in_force.clone());
            (section, in_force, other.watched.clone())
        };
        let mut state = self.state();
        state.section = section;
        state.in_force = in_force;
        state.watched = watched;
    }
}

/// Equal are those that say the same, whatever their files have come to hold.
impl<T> PartialEq for Kept<T> {
    fn eq(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.state, &other.state) {
            return true;
        }
        let section = self.state().section.clone();
        section == other.state().section
    }
}

impl<T> Eq for Kept<T> {}

#[cfg(test)]
mod tests;
