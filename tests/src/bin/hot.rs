//! `make bench-instructions`: counts the instructions of the hot functions and holds them to their bounds.

use std::io;
use std::process::ExitCode;

use causeway_tests::load::instructions::{self, FUNCTIONS, Finding};
use clap::Parser;

/// Counts the instructions of the functions that every stanza passes.
#[derive(Debug, Parser)]
struct Arguments {
    /// Writes the bounds anew from what is counted.
    #[arg(long)]
    renew: bool,
    /// Plays one function without counting: what valgrind is started with.
    #[arg(long, value_name = "FUNCTION")]
    play: Option<String>,
    /// Only these functions.
    functions: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.play {
        Some(name) => instructions::play(name).map(|calls| {
            println!("{calls}");
            true
        }),
        None => count(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("hot: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all bounds are kept.
fn count(arguments: &Arguments) -> io::Result<bool> {
    let program = std::env::current_exe()?;
    let scratch = std::env::temp_dir().join(format!("causeway-hot-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let bounds = instructions::read_bounds(&std::fs::read_to_string(instructions::bounds_path())?)?;
    let mut counts = Vec::new();
    let mut passed = 0;
    println!("{:>9} {:>9}", "counted", "bound");
    let is_asked = |name: &str| arguments.functions.is_empty() || arguments.functions.iter().any(|asked| asked == name);
    for function in FUNCTIONS.iter().filter(|function| is_asked(function.name)) {
        let mut counted = instructions::count(&program, function, &scratch)?;
        if arguments.renew {
            counted = instructions::agreed(function, counted, instructions::count(&program, function, &scratch)?)?;
        }
        let bound = bounds.get(function.name).copied();
        println!("{}", instructions::line(function, counted, bound));
        passed += usize::from(matches!(instructions::judge(counted, bound), Finding::Passed | Finding::Unbound));
        counts.push((function, counted));
    }
    std::fs::remove_dir_all(&scratch)?;
    if arguments.renew {
        if !arguments.functions.is_empty() {
            return Err(io::Error::other("--renew writes all bounds: name no functions"));
        }
        std::fs::write(instructions::bounds_path(), instructions::write_bounds(&counts))?;
        println!("{}", instructions::bounds_path().display());
        return Ok(true);
    }
    if passed > 0 {
        println!(
            "{passed} passed. If what costs more is worth it, `target/release/hot --renew` writes the bounds anew."
        );
    }
    Ok(passed == 0)
}
