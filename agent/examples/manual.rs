//! Manual pages and completions of shells, for packages: `cargo run -p leak-agent --example manual -- DIRECTORY`.

use std::io;
use std::path::PathBuf;

use clap::{CommandFactory as _, ValueEnum as _};
use clap_complete::Shell;
use leak_agent::command::CommandLine;

fn main() -> io::Result<()> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from);
    let directory = directory.ok_or_else(|| io::Error::other("name a directory"))?;
    std::fs::create_dir_all(&directory)?;
    clap_mangen::generate_to(CommandLine::command(), &directory)?;
    for shell in Shell::value_variants() {
        clap_complete::generate_to(
            *shell,
            &mut CommandLine::command(),
            "leak-agent",
            &directory,
        )?;
    }
    Ok(())
}
