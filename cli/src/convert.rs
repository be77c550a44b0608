//! `kinora convert`: a model in other element types.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kinora::model_files::convert::convert;

use crate::args::ConvertArgs;
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::{model, output};

/// Writes the model; prints its folder.
pub(crate) fn run(args: &ConvertArgs, quiet: bool) -> Result<(), CliError> {
    let folder = model::folder_to(&args.model, kinora::weights::Extent::Whole)?;
    folder.config()?;
    let interrupt = Interrupt::listen()?;
    let bar = ProgressBar::new(0);
    if quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let template = "{prefix:14} {wide_bar} {decimal_bytes:>10} of {decimal_total_bytes} {eta:>4}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    convert(&folder, args.dtype, &args.output, &mut |converted| {
        bar.set_prefix(converted.part);
        bar.set_length(converted.total);
        bar.set_position(converted.done);
        !interrupt.cancel().is_cancelled()
    })?;
    bar.finish_and_clear();
    output::print(format!("{}\n", args.output.display()).as_bytes())
}
