//! What happens to the sums of a product before they are stored.

use crate::error::RecordError;
use crate::record::{DispatchBuilder, Tensor};

/// What happens to a sum before it is stored; `v` is the sum.
#[derive(Clone, Copy, Debug, Default)]
pub enum Epilogue<'t> {
    /// `v`
    #[default]
    None,
    /// `v + bias[N]`
    Bias(&'t Tensor),
    /// `gelu_tanh(v + bias[N])`
    BiasGelu(&'t Tensor),
    /// `gelu_erf(v + bias[N])`, the GELU without an approximation
    BiasGeluErf(&'t Tensor),
    /// `u sigmoid(1.702 u)`, u being `v + bias[N]`
    BiasQuickGelu(&'t Tensor),
    /// `silu(v + bias[N])`
    BiasSilu(&'t Tensor),
    /// `residual[M, N] + v + bias[N]`
    BiasResidual(&'t Tensor, &'t Tensor),
    /// `residual[M, N] + gate[index[M], N] * (v + bias[N])`
    GateResidual {
        /// `[N]` f32
        bias: &'t Tensor,
        /// [M, N] f32
        residual: &'t Tensor,
        /// [D, N] f32: one row a distinct timestep
        gate: &'t Tensor,
        /// `[M]` u32: which row of `gate` a token takes
        index: &'t Tensor,
    },
    /// `residual[M, N] + v`
    Residual(&'t Tensor),
    /// `gelu_tanh(residual[M, N] + v)`
    ResidualGelu(&'t Tensor),
    /// `gelu_erf(residual[M, N] + v)`
    ResidualGeluErf(&'t Tensor),
    /// `silu(residual[M, N] + v)`
    ResidualSilu(&'t Tensor),
    /// `gelu_tanh(v) * other[M, N]`
    GeluMul(&'t Tensor),
    /// `max(v, 0)`
    Relu,
    /// `max(v + bias[N], 0)`
    BiasRelu(&'t Tensor),
    /// `max(residual[M, N] + v + bias[N], 0)`
    BiasResidualRelu(&'t Tensor, &'t Tensor),
}

impl Epilogue<'_> {
    /// The module of the `epilogue` slot, `None` for the slot's own file.
    pub(super) fn module(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Bias(_) => Some("bias"),
            Self::BiasGelu(_) => Some("bias_gelu"),
            Self::BiasGeluErf(_) => Some("bias_gelu_erf"),
            Self::BiasQuickGelu(_) => Some("bias_quick_gelu"),
            Self::BiasSilu(_) => Some("bias_silu"),
            Self::BiasResidual(..) => Some("bias_residual"),
            Self::GateResidual { .. } => Some("gate_residual"),
            Self::Residual(_) => Some("residual"),
            Self::ResidualGelu(_) => Some("residual_gelu"),
            Self::ResidualGeluErf(_) => Some("residual_gelu_erf"),
            Self::ResidualSilu(_) => Some("residual_silu"),
            Self::GeluMul(_) => Some("gelu_mul"),
            Self::Relu => Some("relu"),
            Self::BiasRelu(_) => Some("bias_relu"),
            Self::BiasResidualRelu(..) => Some("bias_residual_relu"),
        }
    }

    /// The modules that convolutions use.
    pub(super) const OF_CONVOLUTIONS: [Option<&'static str>; 6] = [
        None,
        Some("bias"),
        Some("bias_residual"),
        Some("relu"),
        Some("bias_relu"),
        Some("bias_residual_relu"),
    ];

    /// The modules that linear layers use.
    pub(super) const OF_MATRICES: [Option<&'static str>; 13] = [
        None,
        Some("bias"),
        Some("bias_gelu"),
        Some("bias_gelu_erf"),
        Some("bias_quick_gelu"),
        Some("bias_silu"),
        Some("bias_residual"),
        Some("gate_residual"),
        Some("residual"),
        Some("residual_gelu"),
        Some("residual_gelu_erf"),
        Some("residual_silu"),
        Some("gelu_mul"),
    ];

    /// The shapes must match an output of [rows, cols].
    pub(super) fn check(
        &self,
        op: &'static str,
        rows: usize,
        cols: usize,
    ) -> Result<(), RecordError> {
        self.check_padded(op, rows, cols, cols)
    }

    /// The shapes must match an output of [rows, out_cols], of which `cols` are computed.
    pub(super) fn check_padded(
        &self,
        op: &'static str,
        rows: usize,
        cols: usize,
        out_cols: usize,
    ) -> Result<(), RecordError> {
        let must = |name, tensor: &Tensor, good: bool, expected: String| {
            if good {
                Ok(())
            } else {
                Err(RecordError::Shape {
                    op,
                    name,
                    found: tensor.shape,
                    expected,
                })
            }
        };
        let vector = |t: &Tensor| must("bias", t, t.shape.count() == cols, format!("[{cols}]"));
        let matrix = |name, t: &Tensor| {
            let good = t.shape.rows() == rows && t.shape.last_dim() == out_cols;
            must(name, t, good, format!("[{rows}, {out_cols}]"))
        };
        match self {
            Self::None | Self::Relu => Ok(()),
            Self::Bias(bias)
            | Self::BiasGelu(bias)
            | Self::BiasGeluErf(bias)
            | Self::BiasQuickGelu(bias)
            | Self::BiasSilu(bias)
            | Self::BiasRelu(bias) => vector(bias),
            Self::BiasResidual(bias, residual) | Self::BiasResidualRelu(bias, residual) => {
                vector(bias).and(matrix("residual", residual))
            }
            Self::GateResidual {
                bias,
                residual,
                gate,
                index,
            } => {
                vector(bias)?;
                matrix("residual", residual)?;
                let good = gate.shape.last_dim() == out_cols;
                must("gate", gate, good, format!("[_, {out_cols}]"))?;
                must(
                    "index",
                    index,
                    index.shape.count() == rows,
                    format!("[{rows}]"),
                )
            }
            Self::Residual(residual)
            | Self::ResidualGelu(residual)
            | Self::ResidualGeluErf(residual)
            | Self::ResidualSilu(residual) => matrix("residual", residual),
            Self::GeluMul(other) => matrix("other", other),
        }
    }

    /// Binds the module's inputs, for the output rows `first .. first + rows`.
    pub(super) fn bind<'r, 'a>(
        &self,
        builder: DispatchBuilder<'r, 'a>,
        first: usize,
        rows: usize,
    ) -> DispatchBuilder<'r, 'a> {
        let window = |t: &Tensor| {
            let row = (t.shape.last_dim() * t.dtype.size()) as u64;
            first as u64 * row..(first + rows) as u64 * row
        };
        match self {
            Self::None | Self::Relu => builder,
            Self::Bias(bias)
            | Self::BiasGelu(bias)
            | Self::BiasGeluErf(bias)
            | Self::BiasQuickGelu(bias)
            | Self::BiasSilu(bias)
            | Self::BiasRelu(bias) => builder.read(12, bias),
            Self::BiasResidual(bias, residual) | Self::BiasResidualRelu(bias, residual) => builder
                .read(12, bias)
                .read_window(13, residual, window(residual)),
            Self::GateResidual {
                bias,
                residual,
                gate,
                index,
            } => builder
                .read(12, bias)
                .read_window(13, residual, window(residual))
                .read(14, gate)
                .read_window(15, index, first as u64 * 4..(first + rows) as u64 * 4),
            Self::Residual(other)
            | Self::ResidualGelu(other)
            | Self::ResidualGeluErf(other)
            | Self::ResidualSilu(other)
            | Self::GeluMul(other) => builder.read_window(13, other, window(other)),
        }
    }
}
