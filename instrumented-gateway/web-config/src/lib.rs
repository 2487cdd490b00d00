//! What a listener demands of those who connect: TLS, a client's certificate, a password; and what it tells browsers.
//!
//! The file is the web configuration of Prometheus' exporters (exporter-toolkit, `docs/web-configuration.md`), so that
//! one file serves a whole host. A key of it that cannot be honoured is a mistake with its line, and never ignored:
//! somebody relies on it. The file and the certificates that it names are read again when they change; what is broken
//! then is told and the former stays in force, and no change lifts a protection without a restart.
//!
//! The same TLS stands, as a section, in files of our own: [`ServerTls`] for a listener, [`ClientTls`] for those whom a
//! program calls, with the keys of Prometheus' `tls_config`.
//!
//! # Layout
//! - [`protection`]: what is in force on a listener; connections and requests pass through it
//! - [`connection`]: a connection with or without TLS, from its first byte on
//! - [`settings`]: what a file says
//! - [`kept`]: TLS of a section in another file, read again when its certificates change
//! - `client`: whom a client trusts, and whom it shows itself as
//! - `tls`: whom the listener shows itself as, and whom it asks for a certificate
//! - [`verifier`]: whether a server is the one that was asked for
//! - `users`: names and passwords
//! - `watched`: files, and whether they have changed

#[cfg(test)]
mod certificates;
mod client;
pub mod connection;
pub mod kept;
pub mod protection;
pub mod settings;
mod tls;
mod users;
pub mod verifier;
mod watched;

pub use connection::{AcceptError, Connection};
pub use kept::{ClientTls, Renewals, ServerTls};
pub use protection::{Protection, Unauthorized};
pub use settings::WebConfigError;
