//! The device at hand in the guise of another: kernels for devices that are not there.

use std::sync::OnceLock;

use kinora::gpu::{Gpu, GpuOptions};
use kinora::record::{Caps, DeviceClass, Precision};
use kinora::tensor::DType;
use libtest_mimic::{Failed, Trial};

use super::{device_test, gpu, options};

/// The capabilities that the choice of kernels sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guise {
    /// The device as it is.
    Found,
    /// A GPU without cooperative matrices.
    Staged,
    /// A GPU with the cooperative matrices that the device has.
    Coop,
    /// That, as a GPU of Apple's: operands staged as scalars, subgroups of 32 planned for.
    Apple,
    /// A GPU without cooperative matrices and without subgroups.
    Bare,
}

impl Guise {
    /// The guises that use different product kernels.
    pub const ALL: [Self; 4] = [Self::Found, Self::Staged, Self::Coop, Self::Apple];

    pub fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Staged => "staged",
            Self::Coop => "coop",
            Self::Apple => "apple",
            Self::Bare => "bare",
        }
    }

    /// The capabilities that the device presents; `None` if it cannot present them.
    pub fn caps(self, found: &Caps) -> Option<Caps> {
        let gpu = Caps {
            class: match found.class {
                DeviceClass::Software | DeviceClass::Other => DeviceClass::Discrete,
                hardware => hardware,
            },
            ..found.clone()
        };
        match self {
            Self::Found => Some(found.clone()),
            Self::Staged => Some(Precision::F32.limit(&gpu)),
            Self::Bare => Some(Caps {
                subgroups: None,
                ..Precision::F32.limit(&gpu)
            }),
            Self::Coop => (gpu.activations() == DType::F16).then_some(gpu),
            Self::Apple => (gpu.cooperative == [8] && gpu.f16).then(|| Caps {
                class: DeviceClass::Apple,
                backend: "metal".into(),
                ..gpu
            }),
        }
    }
}

/// The device, opened in a guise: whole models see it so. `None` where it cannot take it.
pub fn gpu_as(guise: Guise) -> Option<&'static Gpu> {
    static GPUS: [OnceLock<Option<Gpu>>; 5] = [const { OnceLock::new() }; 5];
    let wanted = guise.caps(gpu()?.caps())?;
    let open = || {
        let options = GpuOptions {
            class: Some(wanted.class),
            precision: match guise {
                Guise::Staged | Guise::Bare => Precision::F32,
                Guise::Found | Guise::Coop | Guise::Apple => Precision::F16,
            },
            ..options()
        };
        Gpu::open(&options).ok()
    };
    GPUS[guise as usize].get_or_init(open).as_ref()
}

/// A test that runs in a guise; ignored on a device that cannot take it.
pub fn guise_test(
    guise: Guise,
    name: &str,
    test: impl FnOnce(&'static Gpu, &Caps) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let name = format!("{name}/{}", guise.name());
    let Some(gpu) = gpu() else {
        return device_test(name, |_| Ok(()));
    };
    let Some(caps) = guise.caps(gpu.caps()) else {
        return Trial::test(name, || Ok(())).with_ignored_flag(true);
    };
    Trial::test(name, move || test(gpu, &caps))
}
