//! `kinora plan`: the device memory that a run would take, without running it.

use kinora::gpu::{chosen_device, devices};
use kinora::model_files::ModelFolder;
use kinora::models::wan_transformer::Residency;
use kinora::record::Caps;
use kinora::text_to_video::{MemoryPlan, PartPlan, Planned, Request, Settings};
use kinora::weights::Extent;
use serde_json::json;

use crate::args::PlanArgs;
use crate::environment;
use crate::error::CliError;
use crate::{model, output};

/// Prints the plan.
pub(crate) fn run(args: &PlanArgs) -> Result<(), CliError> {
    let folder = match &args.like {
        Some(name) => ModelFolder::like(name)?,
        None => model::folder_to(&args.model, Extent::Head)?,
    };
    let folder = model::quantized(folder, &args.quantize);
    let config = folder.config()?;
    let decoder = model::decoder(&args.decoder, &args.model, &folder)?;
    let request = Request {
        size: args.picture.size(),
        frames: args.picture.frames,
        duration: args.picture.duration,
        fps: args.picture.fps,
        ..Request::new("any")
    };
    let settings = Settings::resolve(&request, &config)?;
    let (caps, device) = caps(args)?;
    let caps = model::precision(&args.device).limit(&caps);
    let budget = args.memory.memory;
    let budget = budget.or_else(|| caps.memory.map(|bytes| bytes / 5 * 4));
    let guided = settings.guidance > 1.0 && settings.guidance_stop != Some(0.0);
    let prompts = &Planned::LONGEST[..1 + usize::from(guided)];
    let run = Planned {
        caps: &caps,
        folder: &folder,
        config: &config,
        settings: &settings,
        decoder: &decoder,
        prompts,
    };
    let plan = MemoryPlan::new(run, budget)?;
    let text = if args.json {
        let object = json!({
            "model": config.defaults.name,
            "width": settings.width,
            "height": settings.height,
            "frames": settings.frames,
            "device": device,
            "budget_bytes": plan.budget,
            "peak_bytes": plan.peak_bytes(),
            "parts": plan.parts.iter().map(row).collect::<Vec<_>>(),
        });
        format!("{object}\n")
    } else {
        format!(
            "{}, {}x{}, {} frames, on {device}\n{plan}\n",
            config.defaults.name, settings.width, settings.height, settings.frames
        )
    };
    output::print(text.as_bytes())
}

fn row(part: &PartPlan) -> serde_json::Value {
    json!({
        "part": part.part,
        "residency": match part.residency {
            Residency::Resident | Residency::Tight => "resident",
            Residency::Streamed(_) => "streamed",
        },
        "weights_bytes": part.weights,
        "working_bytes": part.working,
        "peak_bytes": part.bytes(),
        "pieces": part.pieces,
    })
}

/// The device that a run would take; where there is none, the least that would do.
fn caps(args: &PlanArgs) -> Result<(Caps, String), CliError> {
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
