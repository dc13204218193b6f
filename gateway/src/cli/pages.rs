//! `completions` and `man`: what shells and `man` want to know, made from the command line itself.

use std::path::PathBuf;

use clap::Command;

use super::ending::{Ending, Failure, Found};
use super::output::Screen;

/// For which shell.
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// Where to.
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// A directory for a page of each verb; without it the first page goes to standard output.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Completions {
    pub(super) fn run(&self, mut command: Command, screen: &Screen) -> Ending {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut command, "causeway", &mut text);
        screen.print(&String::from_utf8_lossy(&text));
        Ok(Found::InOrder)
    }
}

impl Man {
    pub(super) fn run(&self, command: Command, screen: &Screen) -> Ending {
        match &self.out {
            Some(folder) => {
                std::fs::create_dir_all(folder).map_err(|error| Failure::file(folder, error))?;
                clap_mangen::generate_to(command, folder).map_err(|error| Failure::file(folder, error))?;
            }
            None => {
                let mut text = Vec::new();
                clap_mangen::Man::new(command)
                    .render(&mut text)
                    .map_err(|error| Failure::Usage(format!("the page cannot be made: {error}")))?;
                screen.print(&String::from_utf8_lossy(&text));
            }
        }
        Ok(Found::InOrder)
    }
}
