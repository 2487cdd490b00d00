//! The agent from outside: its command line, its life in-process against targets on loopback, its web interface, its
//! demo.

mod command_line;
mod dashboards;
mod demo;
mod discovery;
mod fake_alertmanager;
mod fuzz_seeds;
mod hostile;
mod http_client;
mod interface;
mod kills;
mod life;
mod loopback;
mod pair;
mod peers;
mod protected;
mod replay;
mod target;
mod test_alert;
mod tidy;
mod wire;
