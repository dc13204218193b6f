//! What both services take on the command line, and how they end when the configuration does not let them begin.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{ConfigError, ConfigWarning};

/// The configuration cannot be used; every mistake was printed.
pub const EXIT_MISTAKES: u8 = 1;

/// The command line is wrong, or the configuration file cannot be read.
pub const EXIT_USAGE: u8 = 2;

/// The surroundings do not let the service run: an address in use, a store that does not open.
pub const EXIT_SURROUNDINGS: u8 = 3;

/// The arguments of a service.
#[derive(Debug, Clone, clap::Args)]
pub struct CommonArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Read the configuration and the files it names, print every mistake or "ok", and end: 0 without mistakes, 1 with
    /// mistakes, 2 if the file cannot be read.
    #[arg(long)]
    pub check_config: bool,
}

/// The environment of this process. A variable that is not UTF-8 is none of ours.
pub fn environment() -> Vec<(String, String)> {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).collect()
}

/// What reading a configuration yields.
pub type Read<C> = Result<(C, Vec<ConfigWarning>), Vec<ConfigError>>;

/// How to go on.
#[derive(Debug)]
pub enum Start<C> {
    /// Begin, and log the warnings.
    Run(C, Vec<ConfigWarning>),
    /// End: everything was said.
    Exit(ExitCode),
}

impl CommonArgs {
    /// Reads the configuration with the environment of this process over it.
    pub fn read<C>(
        &self,
        parse: impl FnOnce(&str, Vec<(String, String)>) -> Read<C>,
    ) -> Result<Read<C>, std::io::Error> {
        let text = std::fs::read_to_string(&self.config)?;
        Ok(parse(&text, environment()))
    }

    /// Reads the configuration and says how to go on.
    pub fn start<C>(&self, parse: impl FnOnce(&str, Vec<(String, String)>) -> Read<C>) -> Start<C> {
        let file = self.config.display();
        match self.read(parse) {
            Err(error) => {
                eprintln!("{file}: {error}");
                Start::Exit(ExitCode::from(EXIT_USAGE))
            }
            Ok(Err(mistakes)) => {
                eprintln!("{file} cannot be used:");
                for mistake in &mistakes {
                    eprintln!("  {mistake}");
                }
                Start::Exit(ExitCode::from(EXIT_MISTAKES))
            }
            Ok(Ok((_, warnings))) if self.check_config => {
                for warning in &warnings {
                    println!("warning: {warning}");
                }
                println!("ok");
                Start::Exit(ExitCode::SUCCESS)
            }
            Ok(Ok((config, warnings))) => Start::Run(config, warnings),
        }
    }
}
