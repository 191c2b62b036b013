//! ONNX files in the structure of YuNet's, with random weights.

/// A message of the wire format of protocol buffers.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(mut self, mut value: u64) -> Self {
        while value >= 128 {
            self.0.push(value as u8 | 128);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    fn varint(self, field: u64, value: u64) -> Self {
        self.number(field << 3).number(value)
    }

    fn bytes(self, field: u64, value: &[u8]) -> Self {
        let mut message = self.number(field << 3 | 2).number(value.len() as u64);
        message.0.extend(value);
        message
    }

    fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }
}

/// The structure of a file.
#[derive(Debug, Clone)]
pub(crate) struct Structure {
    /// Channels after the stem and each block of the backbone.
    pub(crate) widths: [usize; 6],
    /// Whether a unit is shared by the heads of each level.
    pub(crate) has_shared: bool,
    /// Replaces the operator of the node that makes a tensor.
    pub(crate) instead: Option<(&'static str, &'static str)>,
    /// Factor on all weights. With 1, some sizes of boxes overflow to infinity.
    pub(crate) gain: f32,
}

impl Structure {
    /// YuNet-n, narrower.
    pub(crate) fn n() -> Self {
        Self { widths: [4, 8, 8, 8, 8, 8], has_shared: true, instead: None, gain: 1.0 }
    }

    /// YuNet-s, narrower.
    pub(crate) fn s() -> Self {
        Self { widths: [4, 6, 8, 8, 8, 8], has_shared: false, instead: None, gain: 1.0 }
    }

    /// The file with weights drawn from `seed`.
    pub(crate) fn file(&self, seed: u64) -> Vec<u8> {
        let mut graph = Graph {
            random: fastrand::Rng::with_seed(seed),
            nodes: Vec::new(),
            initializers: Vec::new(),
            tensors: 0,
            instead: self.instead,
            gain: self.gain,
        };
        graph.network(self);
        let contents = graph.nodes.iter().fold(Message::default(), |message, node| message.bytes(1, node));
        let contents = graph.initializers.iter().fold(contents, |message, tensor| message.bytes(5, tensor));
        Message::default().varint(1, 6).text(2, "pytorch").bytes(7, &contents.0).0
    }
}

struct Graph {
    random: fastrand::Rng,
    nodes: Vec<Vec<u8>>,
    initializers: Vec<Vec<u8>>,
    tensors: usize,
    instead: Option<(&'static str, &'static str)>,
    gain: f32,
}

impl Graph {
    fn network(&mut self, structure: &Structure) {
        let widths = structure.widths;
        let mut x = self.convolution("input", [widths[0], 3, 3], 2, 1);
        x = self.node("Relu", &[&x], &[]);
        x = self.unit(&x, [widths[0], widths[0]], true);
        let mut levels: Vec<String> = Vec::new();
        for block in 1..6 {
            if block != 2 {
                x = self.node("MaxPool", &[&x], &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])]);
            }
            x = self.unit(&x, [widths[block - 1], widths[block - 1]], true);
            x = self.unit(&x, [widths[block - 1], widths[block]], true);
            levels.push(x.clone());
        }
        let width = widths[5];
        let mut features: Vec<String> = Vec::new();
        for level in levels[2..].iter().rev() {
            let sum = match features.last() {
                None => level.clone(),
                Some(coarser) => {
                    let doubled = self.node("Resize", &[coarser.as_str(), "", "scales"], &[]);
                    self.node("Add", &[level.as_str(), doubled.as_str()], &[])
                }
            };
            let lateral = self.unit(&sum, [width, width], true);
            features.push(lateral);
        }
        for (level, stride) in [(2, 8), (1, 16), (0, 32)] {
            let mut x = features[level].clone();
            if structure.has_shared {
                x = self.unit(&x, [width, width], true);
            }
            for (head, outputs) in [("cls", 1), ("bbox", 4), ("obj", 1), ("kps", 10)] {
                let y = self.unit(&x, [width, outputs], false);
                let y = self.node("Transpose", &[&y], &[("perm", &[0, 2, 3, 1])]);
                let output = format!("{head}_{stride}");
                if matches!(head, "cls" | "obj") {
                    let y = self.node("Reshape", &[&y, "shape"], &[]);
                    self.node_named("Sigmoid", &[&y], &output, &[]);
                } else {
                    self.node_named("Reshape", &[&y, "shape"], &output, &[]);
                }
            }
        }
    }

    fn unit(&mut self, x: &str, [inputs, outputs]: [usize; 2], relu: bool) -> String {
        let y = self.convolution(x, [outputs, inputs, 1], 1, 1);
        let y = self.convolution(&y, [outputs, 1, 3], 1, outputs);
        if relu { self.node("Relu", &[&y], &[]) } else { y }
    }

    fn convolution(&mut self, x: &str, shape: [usize; 3], stride: u64, groups: usize) -> String {
        let [outputs, inputs, side] = shape;
        let weight = self.initializer(&[outputs, inputs, side, side], inputs * side * side);
        let bias = self.initializer(&[outputs], 4);
        let pad = side as u64 / 2;
        let attributes: [(&str, &[u64]); 4] = [
            ("kernel_shape", &[side as u64; 2]),
            ("strides", &[stride; 2]),
            ("pads", &[pad; 4]),
            ("group", &[groups as u64]),
        ];
        self.node("Conv", &[x, &weight, &bias], &attributes)
    }

    /// Stores random values of a standard deviation of `gain` * sqrt(2 / `inputs`).
    fn initializer(&mut self, shape: &[usize], inputs: usize) -> String {
        let name = self.name();
        let scale = self.gain * (6.0 / inputs as f32).sqrt();
        let count = shape.iter().product();
        let values: Vec<u8> =
            (0..count).flat_map(|_| (scale * (2.0 * self.random.f32() - 1.0)).to_le_bytes()).collect();
        let message = shape.iter().fold(Message::default(), |message, &side| message.varint(1, side as u64));
        self.initializers.push(message.varint(2, 1).text(8, &name).bytes(9, &values).0);
        name
    }

    fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[(&str, &[u64])]) -> String {
        let name = self.name();
        self.node_named(operator, inputs, &name, attributes);
        name
    }

    fn node_named(&mut self, operator: &str, inputs: &[&str], output: &str, attributes: &[(&str, &[u64])]) {
        let operator =
            self.instead.filter(|(tensor, _)| *tensor == output).map_or(operator, |(_, other)| other);
        let mut message = inputs.iter().fold(Message::default(), |message, input| message.text(1, input));
        message = message.text(2, output).text(4, operator);
        for (name, values) in attributes {
            let attribute = Message::default().text(1, name);
            let attribute = match values {
                [value] if *name == "group" => attribute.varint(3, *value),
                values => values.iter().fold(attribute, |attribute, &value| attribute.varint(8, value)),
            };
            message = message.bytes(5, &attribute.0);
        }
        self.nodes.push(message.0);
    }

    fn name(&mut self) -> String {
        self.tensors += 1;
        self.tensors.to_string()
    }
}
