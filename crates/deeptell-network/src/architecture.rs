use std::fmt;
use std::path::Path;
use std::str::FromStr;

use burn::tensor::Device;
use deeptell_mobilenet::Variant;
use deeptell_weights::onnx::Options;
use deeptell_weights::{KnownFile, Names, Weights, WeightsError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::NetworkConfig;

/// The architecture of a network; in files its name, for example `mobilenet-v3-small`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub enum Architecture {
    /// MobileNetV3-Small (Howard et al. 2019): 1,518,881 parameters with one logit.
    #[default]
    #[serde(rename = "mobilenet-v3-small")]
    MobileNetV3Small,
    /// MobileNetV3-Large (Howard et al. 2019): 4,203,313 parameters with one logit.
    #[serde(rename = "mobilenet-v3-large")]
    MobileNetV3Large,
}

/// The networks that share one implementation, with what tells them apart. A new network is a variant here, and an arm
/// wherever this is matched.
pub(crate) enum Family {
    MobileNetV3(Variant),
}

impl From<Variant> for Architecture {
    fn from(variant: Variant) -> Self {
        match variant {
            Variant::Small => Self::MobileNetV3Small,
            Variant::Large => Self::MobileNetV3Large,
        }
    }
}

/// Files that `deeptell weights import` recognizes.
pub const KNOWN_FILES: &[KnownFile] = &[
    KnownFile {
        name: "mobilenet_v3_small-047dcff4.pth",
        sha256: "047dcff4addef86ea5bc2eff13c9614dc11f47ab1160d0a71a25e7db994f4e1f",
        origin: "torchvision MobileNet_V3_Small_Weights.IMAGENET1K_V1 (BSD-3-Clause), \
                 https://download.pytorch.org/models/mobilenet_v3_small-047dcff4.pth",
    },
    KnownFile {
        name: "mobilenet_v3_large-8738ca79.pth",
        sha256: "8738ca79",
        origin: "torchvision MobileNet_V3_Large_Weights.IMAGENET1K_V1 (BSD-3-Clause), \
                 https://download.pytorch.org/models/mobilenet_v3_large-8738ca79.pth",
    },
    KnownFile {
        name: "mobilenet_v3_large-5c1a4163.pth",
        sha256: "5c1a4163",
        origin: "torchvision MobileNet_V3_Large_Weights.IMAGENET1K_V2 (BSD-3-Clause), \
                 https://download.pytorch.org/models/mobilenet_v3_large-5c1a4163.pth",
    },
];

/// There is no architecture of that name.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("unknown architecture `{name}`; this version knows {known}")]
pub struct UnknownArchitecture {
    /// What was asked for, at most 64 characters of it.
    pub name: String,
    /// The names of those known.
    pub known: String,
}

impl Architecture {
    /// Every architecture.
    pub const ALL: [Self; 2] = [Self::MobileNetV3Small, Self::MobileNetV3Large];

    /// Its name in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MobileNetV3Small => "mobilenet-v3-small",
            Self::MobileNetV3Large => "mobilenet-v3-large",
        }
    }

    pub(crate) const fn family(self) -> Family {
        match self {
            Self::MobileNetV3Small => Family::MobileNetV3(Variant::Small),
            Self::MobileNetV3Large => Family::MobileNetV3(Variant::Large),
        }
    }

    /// Its name in the literature.
    pub const fn title(self) -> &'static str {
        match self.family() {
            Family::MobileNetV3(variant) => variant.name(),
        }
    }

    /// Name of the file in the cache that holds its ImageNet weights.
    pub fn imagenet_file(self) -> String {
        match self {
            Self::MobileNetV3Small => "imagenet.safetensors".to_owned(),
            other => format!("imagenet-{other}.safetensors"),
        }
    }

    /// Length of the embedding that its classifier reads.
    pub const fn embedding(self) -> usize {
        match self.family() {
            Family::MobileNetV3(variant) => variant.table().embedding,
        }
    }

    /// Whether it is this one, for serde.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The names of its tensors in files.
    pub fn names(self) -> Names {
        match self.family() {
            Family::MobileNetV3(variant) => deeptell_mobilenet::names(variant),
        }
    }

    /// A network of this architecture as an ONNX file.
    ///
    /// Its input `images` is `[batch, 3, height, width]`, [normalized](crate::normalize); its outputs
    /// `logits` and, where there is a calibration, `probabilities` are `[batch, classes]`.
    ///
    /// # Errors
    /// [`WeightsError`] naming the tensor that is missing, has another shape, or is unknown.
    pub fn to_onnx(self, weights: &Weights, options: &Options) -> Result<Vec<u8>, WeightsError> {
        match self.family() {
            Family::MobileNetV3(variant) => deeptell_mobilenet::to_onnx(variant, weights, options),
        }
    }

    /// The backbone in the weights file at `path`, whose SHA-256 is `sha256`, and the architecture that it fits. Its
    /// metadata say where it comes from.
    ///
    /// # Errors
    /// If the file cannot be read or its weights fit no architecture, as [`of_backbone`](Self::of_backbone).
    pub fn read_backbone(
        path: &Path,
        sha256: &str,
        device: &Device,
    ) -> Result<(Self, Weights), WeightsError> {
        let weights = Weights::read(path)?;
        let architecture = Self::of_backbone(&weights, device)?;
        let mut weights = weights.of_network(&architecture.names())?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        weights.metadata.insert("source_file".into(), name.to_owned());
        weights.metadata.insert("source_sha256".into(), sha256.to_owned());
        Ok((architecture, weights))
    }

    /// The architecture whose backbone these weights hold. Networks of random weights are made on
    /// `device` to compare with.
    ///
    /// # Errors
    /// If they fit no architecture: why they do not fit the one that they share most tensor names with.
    pub fn of_backbone(weights: &Weights, device: &Device) -> Result<Self, WeightsError> {
        let mut closest: Option<(usize, WeightsError)> = None;
        for architecture in Self::ALL {
            let names = architecture.names();
            let shared = weights.of_network(&names)?.tensors.len();
            match NetworkConfig::new(architecture, 1).init(device).load_backbone(weights) {
                Ok(()) => return Ok(architecture),
                Err(error) if closest.as_ref().is_none_or(|(most, _)| shared > *most) => {
                    closest = Some((shared, error));
                }
                Err(_) => {}
            }
        }
        let (_, error) = closest.unwrap_or_else(|| {
            (0, WeightsError::Internal { reason: "there is no architecture to compare with".into() })
        });
        Err(error)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|known| known.as_str() == name).ok_or_else(|| UnknownArchitecture {
            name: name.chars().take(64).collect(),
            known: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architecture_names_round_trip() {
        for architecture in Architecture::ALL {
            let name = architecture.as_str();
            assert_eq!(serde_json::to_value(architecture).unwrap(), name);
            assert_eq!(name.parse(), Ok(architecture));
            assert_eq!(architecture.to_string(), name);
        }
        let error = "resnet-50".parse::<Architecture>().unwrap_err().to_string();
        assert!(error.contains("resnet-50") && error.contains("mobilenet-v3-large"), "{error}");
    }
}
