//! How exact a model's products are.

use super::{Caps, DeviceClass};
use crate::tensor::DType;

/// What the operands of products may be rounded to; sums and residual streams are f32 always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Operands keep their 24 bits: the reference's arithmetic.
    #[default]
    F32,
    /// Operands may be rounded to f16, and what feeds a product is stored so, where that makes
    /// the device faster. For models whose activations stay well within f16's range (65,504).
    F16,
}

impl Precision {
    /// The element type of activations that feed products on a device: f16 where it has
    /// cooperative matrices, which take no other operands, f32 elsewhere. A software device
    /// computes them one by one and gains nothing.
    pub fn activations(self, caps: &Caps) -> DType {
        let tensor_cores = caps.class != DeviceClass::Software && !caps.cooperative.is_empty();
        match self {
            Self::F16 if tensor_cores && caps.f16 => DType::F16,
            _ => DType::F32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f16_is_for_tensor_cores() {
        let gpu = Caps {
            class: DeviceClass::Discrete,
            f16: true,
            cooperative: vec![16],
            ..Caps::least()
        };
        let software = Caps {
            class: DeviceClass::Software,
            ..gpu.clone()
        };
        let plain = Caps {
            cooperative: vec![],
            ..gpu.clone()
        };
        assert_eq!(Precision::F16.activations(&gpu), DType::F16);
        for (precision, caps) in [
            (Precision::F32, &gpu),
            (Precision::F16, &software),
            (Precision::F16, &plain),
        ] {
            assert_eq!(precision.activations(caps), DType::F32);
        }
    }
}
