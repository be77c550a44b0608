//! A scheduler out of the `scheduler/scheduler_config.json` of a model in the diffusers layout.
//!
//! Keys that do not act on flow models (`beta_*`, `timestep_spacing`, `steps_offset`, `sigma_min`,
//! …) are ignored, as the reference ignores them with `use_flow_sigmas`. A missing key means the
//! reference's default, which for some makes a scheduler of another kind; those, and options that
//! are not implemented, are errors that name the option.

use serde_json::{Map, Value};

use super::config::{EulerConfig, FinalSigma, Scheduler, SolverType, UniPcConfig, option};
use crate::error::SamplingError;

impl Scheduler {
    /// Reads the `text` of a `scheduler_config.json`; `file` is its name for error messages.
    ///
    /// # Errors
    ///
    /// [`SamplingError::Json`] for text that is not a JSON object,
    /// [`SamplingError::UnknownScheduler`] for another class, [`SamplingError::Option`] for a value
    /// of the wrong type, out of range or not implemented.
    pub fn from_json(file: &str, text: &str) -> Result<Self, SamplingError> {
        let object: Map<String, Value> =
            serde_json::from_str(text).map_err(|source| SamplingError::Json {
                file: file.to_owned(),
                source,
            })?;
        let options = Options(&object);
        let class = options.text("_class_name", "", "a scheduler's class name")?;
        let scheduler = match class {
            "UniPCMultistepScheduler" => Self::UniPc(options.unipc()?),
            "FlowMatchEulerDiscreteScheduler" => Self::Euler(options.euler()?),
            _ => {
                return Err(SamplingError::UnknownScheduler {
                    file: file.to_owned(),
                    class: class.to_owned(),
                });
            }
        };
        scheduler.validate()?;
        Ok(scheduler)
    }
}

/// The options of a configuration, by name.
struct Options<'a>(&'a Map<String, Value>);

impl<'a> Options<'a> {
    fn unipc(&self) -> Result<UniPcConfig, SamplingError> {
        self.require_text("prediction_type", "epsilon", "flow_prediction")?;
        self.require_flag("use_flow_sigmas", false, true)?;
        self.require_flag("predict_x0", true, true)?;
        for unsupported in [
            "thresholding",
            "use_karras_sigmas",
            "use_exponential_sigmas",
            "use_beta_sigmas",
            "use_dynamic_shifting",
        ] {
            self.require_flag(unsupported, false, false)?;
        }
        if let Some(solver) = self.get("solver_p") {
            return Err(option("solver_p", solver, "null"));
        }
        // The reference turns three solver types of other classes into bh2.
        let solver_type = match self.text("solver_type", "bh2", "bh1 or bh2")? {
            "bh1" => SolverType::Bh1,
            "bh2" | "midpoint" | "heun" | "logrho" => SolverType::Bh2,
            other => return Err(option("solver_type", other, "bh1 or bh2")),
        };
        let final_sigma = match self.text("final_sigmas_type", "zero", "zero or sigma_min")? {
            "zero" => FinalSigma::Zero,
            "sigma_min" => FinalSigma::SigmaMin,
            other => return Err(option("final_sigmas_type", other, "zero or sigma_min")),
        };
        Ok(UniPcConfig {
            num_train_timesteps: self.whole("num_train_timesteps", 1000)?,
            flow_shift: self.number("flow_shift")?.unwrap_or(1.0),
            solver_order: self.whole("solver_order", 2)?,
            solver_type,
            lower_order_final: self.flag("lower_order_final", true)?,
            disable_corrector: self.steps("disable_corrector")?,
            final_sigma,
            shift_terminal: self.number("shift_terminal")?,
        })
    }

    fn euler(&self) -> Result<EulerConfig, SamplingError> {
        for unsupported in [
            "use_dynamic_shifting",
            "use_karras_sigmas",
            "use_exponential_sigmas",
            "use_beta_sigmas",
            "invert_sigmas",
            "stochastic_sampling",
        ] {
            self.require_flag(unsupported, false, false)?;
        }
        Ok(EulerConfig {
            num_train_timesteps: self.whole("num_train_timesteps", 1000)?,
            shift: self.number("shift")?.unwrap_or(1.0),
            shift_terminal: self.number("shift_terminal")?,
        })
    }

    /// The value of an option that is there and not null.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(
        &self,
        name: &'static str,
        default: &'a str,
        expected: &'static str,
    ) -> Result<&'a str, SamplingError> {
        match self.get(name) {
            None => Ok(default),
            Some(value) => value.as_str().ok_or_else(|| option(name, value, expected)),
        }
    }

    fn flag(&self, name: &'static str, default: bool) -> Result<bool, SamplingError> {
        match self.get(name) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| option(name, value, "true or false")),
        }
    }

    fn number(&self, name: &'static str) -> Result<Option<f64>, SamplingError> {
        self.get(name)
            .map(|value| {
                value
                    .as_f64()
                    .ok_or_else(|| option(name, value, "a number"))
            })
            .transpose()
    }

    fn whole(&self, name: &'static str, default: u32) -> Result<u32, SamplingError> {
        let Some(value) = self.get(name) else {
            return Ok(default);
        };
        let whole = value.as_u64().and_then(|value| u32::try_from(value).ok());
        whole.ok_or_else(|| option(name, value, "a whole number"))
    }

    /// A list of step indices. Negative ones name no step, in the reference too.
    fn steps(&self, name: &'static str) -> Result<Vec<usize>, SamplingError> {
        let Some(value) = self.get(name) else {
            return Ok(Vec::new());
        };
        let wrong = || option(name, value, "a list of whole numbers");
        let indices = value
            .as_array()
            .ok_or_else(wrong)?
            .iter()
            .map(|index| index.as_i64().ok_or_else(wrong));
        let indices: Vec<i64> = indices.collect::<Result<_, _>>()?;
        Ok(indices
            .into_iter()
            .filter_map(|index| usize::try_from(index).ok())
            .collect())
    }

    fn require_flag(
        &self,
        name: &'static str,
        default: bool,
        required: bool,
    ) -> Result<(), SamplingError> {
        let found = self.flag(name, default)?;
        let expected = if required { "true" } else { "false" };
        if found == required {
            Ok(())
        } else {
            Err(option(name, found, expected))
        }
    }

    fn require_text(
        &self,
        name: &'static str,
        default: &'a str,
        required: &'static str,
    ) -> Result<(), SamplingError> {
        let found = self.text(name, default, required)?;
        if found == required {
            Ok(())
        } else {
            Err(option(name, found, required))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: &str = r#"{"_class_name": "UniPCMultistepScheduler",
        "prediction_type": "flow_prediction", "use_flow_sigmas": true"#;
    const EULER: &str = r#"{"_class_name": "FlowMatchEulerDiscreteScheduler""#;

    /// What Wan 2.2's releases hold; Wan 2.1's lack the last five keys.
    const WAN: &str = r#"{
        "_class_name": "UniPCMultistepScheduler", "_diffusers_version": "0.35.0.dev0",
        "beta_end": 0.02, "beta_schedule": "linear", "beta_start": 0.0001, "disable_corrector": [],
        "dynamic_thresholding_ratio": 0.995, "final_sigmas_type": "zero", "flow_shift": 3.0,
        "lower_order_final": true, "num_train_timesteps": 1000, "predict_x0": true,
        "prediction_type": "flow_prediction", "rescale_betas_zero_snr": false,
        "sample_max_value": 1.0, "solver_order": 2, "solver_p": null, "solver_type": "bh2",
        "steps_offset": 0, "thresholding": false, "timestep_spacing": "linspace",
        "trained_betas": null, "use_beta_sigmas": false, "use_exponential_sigmas": false,
        "use_flow_sigmas": true, "use_karras_sigmas": false,
        "sigma_max": null, "sigma_min": null, "shift_terminal": null,
        "time_shift_type": "exponential", "use_dynamic_shifting": false}"#;

    #[test]
    fn released_configurations_are_read() {
        let wan = Scheduler::from_json("a.json", WAN).unwrap();
        let unipc = UniPcConfig {
            flow_shift: 3.0,
            ..UniPcConfig::default()
        };
        assert_eq!(wan, Scheduler::UniPc(unipc));
        assert_eq!(wan.clone().with_shift(8.0).shift(), 8.0);
        let euler = EulerConfig {
            shift: 3.0,
            ..EulerConfig::default()
        };
        assert_eq!(wan.clone().into_euler(), Scheduler::Euler(euler.clone()));
        assert_eq!(Scheduler::Euler(euler).into_unipc(), wan);
    }

    #[test]
    fn every_option_is_read() {
        let text = r#", "flow_shift": 5, "solver_order": 1, "solver_type": "bh1",
            "disable_corrector": [0, -1, 3], "final_sigmas_type": "sigma_min",
            "lower_order_final": false, "shift_terminal": 0.1, "num_train_timesteps": 500}"#;
        let expected = UniPcConfig {
            num_train_timesteps: 500,
            flow_shift: 5.0,
            solver_order: 1,
            solver_type: SolverType::Bh1,
            lower_order_final: false,
            disable_corrector: vec![0, 3],
            final_sigma: FinalSigma::SigmaMin,
            shift_terminal: Some(0.1),
        };
        let found = Scheduler::from_json("a.json", &format!("{FLOW}{text}")).unwrap();
        assert_eq!(found, Scheduler::UniPc(expected));

        let text = r#", "shift": 2, "num_train_timesteps": 500, "shift_terminal": 0.1}"#;
        let expected = EulerConfig {
            num_train_timesteps: 500,
            shift: 2.0,
            shift_terminal: Some(0.1),
        };
        let found = Scheduler::from_json("a.json", &format!("{EULER}{text}")).unwrap();
        assert_eq!(found, Scheduler::Euler(expected));
    }

    #[test]
    fn wrong_configurations_are_refused() {
        for (base, name, value, says) in [
            (
                FLOW,
                "prediction_type",
                r#""epsilon""#,
                "is epsilon, expected flow_prediction",
            ),
            (
                FLOW,
                "prediction_type",
                "null",
                "is epsilon, expected flow_prediction",
            ),
            (FLOW, "use_flow_sigmas", "false", "is false, expected true"),
            (FLOW, "use_karras_sigmas", "true", "is true, expected false"),
            (
                FLOW,
                "use_dynamic_shifting",
                "true",
                "is true, expected false",
            ),
            (FLOW, "predict_x0", "false", "is false, expected true"),
            (FLOW, "solver_order", "3", "is 3, expected 1 or 2"),
            (FLOW, "solver_order", "0", "is 0, expected 1 or 2"),
            (
                FLOW,
                "solver_type",
                r#""bh3""#,
                "is bh3, expected bh1 or bh2",
            ),
            (FLOW, "solver_p", "{}", "is {}, expected null"),
            (
                FLOW,
                "final_sigmas_type",
                r#""one""#,
                "is one, expected zero or sigma_min",
            ),
            (
                FLOW,
                "flow_shift",
                "0",
                "is 0, expected a finite number above 0",
            ),
            (FLOW, "flow_shift", r#""5""#, r#"is "5", expected a number"#),
            (
                FLOW,
                "num_train_timesteps",
                "0",
                "is 0, expected at least 1",
            ),
            (
                FLOW,
                "num_train_timesteps",
                "1e9",
                "is 1000000000.0, expected a whole number",
            ),
            (
                FLOW,
                "disable_corrector",
                "[0.5]",
                "is [0.5], expected a list of whole numbers",
            ),
            (
                FLOW,
                "shift_terminal",
                "1",
                "is 1, expected a number from 0 up to",
            ),
            (
                FLOW,
                "_class_name",
                "7",
                "is 7, expected a scheduler's class name",
            ),
            (
                EULER,
                "shift",
                "-1.5",
                "is -1.5, expected a finite number above 0",
            ),
            (
                EULER,
                "stochastic_sampling",
                "true",
                "is true, expected false",
            ),
            (
                EULER,
                "invert_sigmas",
                r#""no""#,
                r#"is "no", expected true or false"#,
            ),
        ] {
            let text = format!("{base}, \"{name}\": {value}}}");
            let error = Scheduler::from_json("a.json", &text).unwrap_err();
            let expected = format!("sampling option `{name}` {says}");
            assert!(
                error.to_string().starts_with(&expected),
                "{error}\n{expected}"
            );
        }
    }

    #[test]
    fn other_files_are_refused() {
        let error = Scheduler::from_json("a.json", r#"{"_class_name": "DDIMScheduler"}"#);
        let says = "a.json names the scheduler `DDIMScheduler`";
        assert!(error.unwrap_err().to_string().starts_with(says));
        for text in ["", "[]", "{\"_class_name\": ", "7"] {
            let error = Scheduler::from_json("a.json", text).unwrap_err();
            let named = error
                .to_string()
                .starts_with("a.json is not a scheduler's configuration");
            assert!(
                matches!(error, SamplingError::Json { .. }) && named,
                "{error}"
            );
        }
    }
}
