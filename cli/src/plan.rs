//! `kinora plan`: the device memory that a run would take, without running it.

use kinora::gpu::{chosen_device, devices};
use kinora::job::usual_budget;
use kinora::model_files::ModelFolder;
use kinora::pipeline::{Model, Prepared, Prompts};
use kinora::record::Caps;
use kinora::request::{Settings, seeds};
use kinora::weights::Extent;

use crate::args::{GenerateArgs, PlanArgs};
use crate::clip::video;
use crate::environment;
use crate::error::CliError;
use crate::generate::prompt;
use crate::preview::Preview;
use crate::progress::Progress;
use crate::{model, output};

/// Prints the plan.
pub(crate) fn run(args: &PlanArgs, quiet: bool) -> Result<(), CliError> {
    let (like, json, args) = (&args.like, args.generate.report.json, &args.generate);
    // A plan is of the longest prompt.
    let text = prompt(args.prompt.as_deref().or(Some("any")))?;
    let folder = match like {
        Some(name) => ModelFolder::like(name)?,
        None => model::folder_to(&args.model, Extent::Headers)?,
    };
    let model = Model::open(model::quantized(folder, &args.quantize))?;
    let decoder = model::decoder(&args.decoder, &args.model, &model)?;
    let settings = Settings::for_plan(&args.request(text), model.config())?;
    seeds(
        settings.seed,
        args.seed().is_some(),
        args.sampling.count.into(),
    )?;
    Preview::asked(args, model.config().vae.z_dim, false)?;
    video(&args.video, settings.width, settings.height, settings.fps)?;
    let progress = Progress::telling(quiet, &args.report);
    for note in settings.notes() {
        progress.say(format_args!("note: {note}"));
    }
    let (caps, device) = caps(args)?;
    let caps = args.device.precision.limit(&caps);
    let budget = args.memory.memory.or(usual_budget(caps.memory));
    let prompts = Prompts::Longest;
    let run = Prepared::new(&caps, &model, settings, &decoder, budget, prompts)?;
    let (plan, settings) = (run.plan(), run.settings());
    let name = &model.config().defaults.name;
    let (width, height, frames) = (settings.width, settings.height, settings.frames);
    let text = if json {
        let mut object = plan.to_json();
        object["model"] = name.as_str().into();
        object["device"] = device.into();
        object["width"] = width.into();
        object["height"] = height.into();
        object["frames"] = frames.into();
        format!("{object}\n")
    } else {
        format!("{name}, {width}x{height}, {frames} frames, on {device}\n{plan}\n")
    };
    output::print(text.as_bytes())
}

/// The device that a run would take; where there is none, the least that would do.
fn caps(args: &GenerateArgs) -> Result<(Caps, String), CliError> {
    let all = devices(&environment::gpu_options()?);
    let index = chosen_device(&all, args.device.device.as_deref())?;
    let found = index.and_then(|index| all.into_iter().find(|device| device.index == index));
    Ok(match found {
        Some(device) => {
            let name = device.caps.name.clone();
            (device.caps, name)
        }
        None => (Caps::least(), "the least device that would do".to_owned()),
    })
}
