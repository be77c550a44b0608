//! Shell completions.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::error::CliError;
use crate::output;

/// Prints completions for `shell`.
pub(crate) fn run(shell: Shell) -> Result<(), CliError> {
    // Into memory first: the generator panics where it cannot write, and a reader may leave early.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kinora", &mut text);
    output::print(&text)
}
