//! What each stage costs on this machine's CPU: decode, detect, classify, pictures for training, train step, whole
//! scan.
//!
//! Inputs are fixed; names say device and size. Tensors on the CPU device are ready when the call returns, and every
//! bench reads its result, so the clock stops after the work.

#![expect(clippy::unwrap_used, reason = "a bench that cannot run its stage fails by panicking")]

use std::hint::black_box;
use std::time::Duration;

use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use deeptell::{Decoding, Detector, Limits, ScanOptions};
use deeptell_benches::{crops, sample_clip, scene};
use deeptell_data::{Label, Sample, Split};
use deeptell_face::{Landmarks, Point};
use deeptell_kernels::keep_buffers;
use deeptell_mtcnn::MtcnnConfig;
use deeptell_network::{Architecture, Network, NetworkConfig, Normalization, normalize};
use deeptell_train::{SampleOrder, TrainConfig, binary_cross_entropy_with_logits, preview};
use deeptell_video::{Sampling, VideoCodec, VideoReader, VideoWriter, WriterOptions};

const FRAMES: usize = 12;

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode/12 frames");
    let folder = tempfile::tempdir().unwrap();
    for (width, height, keyframe_interval) in [(640, 360, 12), (640, 360, 250), (1920, 1080, 250)] {
        let path = folder.path().join(format!("{width}-{keyframe_interval}.mp4"));
        let codec = if VideoCodec::H264.is_available() { VideoCodec::H264 } else { VideoCodec::Mpeg4 };
        let options = WriterOptions::default().keyframe_interval(keyframe_interval).codec(codec);
        let scene = scene(width + 60, height).unwrap();
        let mut writer = VideoWriter::create(&path, width, height, &options).unwrap();
        for frame in 0..60 {
            writer.write(&image::imageops::crop_imm(&scene, frame, 0, width, height).to_image()).unwrap();
        }
        writer.finish().unwrap();
        for (name, sampling) in
            [("uniform", Sampling::Uniform(FRAMES)), ("keyframes", Sampling::Keyframes(FRAMES))]
        {
            let id = BenchmarkId::new(name, format!("{width}x{height}, keyframe every {keyframe_interval}"));
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    let mut reader = VideoReader::open(&path).unwrap();
                    reader.sample(sampling).map(|frame| frame.unwrap().image.len()).sum::<usize>()
                });
            });
        }
    }
    group.finish();
}

fn detect(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("detect/cpu");
    for (width, height) in [(640, 360), (1280, 720)] {
        let scene = scene(width, height).unwrap();
        for min_face in [20.0, 40.0] {
            let mtcnn = MtcnnConfig::default().min_face(min_face).init(&Device::flex()).unwrap();
            assert!(
                !mtcnn.detect(&scene).unwrap().is_empty(),
                "no face found: the bench would measure another job"
            );
            let id = BenchmarkId::new(format!("faces from {min_face} px"), format!("{width}x{height}"));
            group.bench_function(id, |bencher| bencher.iter(|| mtcnn.detect(black_box(&scene)).unwrap()));
        }
    }
    group.finish();
}

fn classify(criterion: &mut Criterion) {
    let device = Device::flex();
    let network = network(&device).folded();
    let mut group = criterion.benchmark_group("classify/cpu f32 224x224");
    for batch in [1, 16, 32] {
        let crops = crops(batch).unwrap();
        group.throughput(Throughput::Elements(batch.into()));
        group.bench_function(BenchmarkId::new("batch", batch), |bencher| {
            bencher.iter(|| {
                let input = normalize(black_box(&crops), &Normalization::IMAGENET, &device).unwrap();
                rayon::scope(|_| network.forward(input).try_into_vec_as::<f32>().unwrap())
            });
        });
    }
    group.finish();
}

/// Pictures as training takes them, read from JPEG and varied, on all cores: how fast a device can be fed.
fn pictures(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let face = [(106.0, 93.0), (148.0, 92.0), (127.0, 120.0), (108.0, 138.0), (145.0, 137.0)];
    let landmarks = Some(Landmarks::from_points(face.map(|(x, y)| Point::new(x, y))));
    let samples: Vec<Sample> = crops(64)
        .unwrap()
        .iter()
        .enumerate()
        .map(|(i, crop)| {
            let path = folder.path().join(format!("{i}.jpg"));
            crop.save(&path).unwrap();
            let label = if i % 2 == 0 { Label::Real } else { Label::Fake };
            let source = format!("s{}", i / 8);
            Sample::new(path, label, source).split(Some(Split::Train)).landmarks(landmarks)
        })
        .collect();
    let mut plain = TrainConfig::default();
    plain.sampling = SampleOrder::Shuffled.into();
    let mut triples = TrainConfig::default();
    triples.sampling = SampleOrder::Triples.into();
    triples.sampling.swap_probability = 0.2;
    triples.codec.probability = 0.35;
    let mut group = criterion.benchmark_group("pictures/cpu 224x224");
    for (name, config, rows) in [("as default", plain, 30), ("triples, a third as H.264", triples, 10)] {
        let count = || preview(black_box(&config), &samples, rows).unwrap().concat().len();
        assert_eq!(count(), 30);
        group.throughput(Throughput::Elements(30));
        group.bench_function(name, |bencher| bencher.iter(count));
    }
    group.finish();
}

fn train_step(criterion: &mut Criterion) {
    let device = Device::flex().autodiff();
    // As `deeptell-train` does.
    let _kept = keep_buffers(1 << 30);
    let mut group = criterion.benchmark_group("train step/cpu f32 224x224");
    for batch in [16, 32] {
        let crops = crops(batch).unwrap();
        let targets: Vec<f32> = (0..batch).map(|i| (i % 2) as f32).collect();
        let targets = Tensor::<2>::from_data(TensorData::new(targets, [batch as usize, 1]), &device);
        let mut network = network(&device);
        let mut optimizer = AdamWConfig::new().init();
        group.throughput(Throughput::Elements(batch.into()));
        group.bench_function(BenchmarkId::new("batch", batch), |bencher| {
            bencher.iter(|| {
                let input = normalize(black_box(&crops), &Normalization::IMAGENET, &device).unwrap();
                rayon::scope(|_| {
                    let loss = binary_cross_entropy_with_logits(network.forward(input), targets.clone(), 1.0);
                    let gradients = GradientsParams::from_grads(loss.backward(), &network);
                    network = optimizer.step(1e-5, network.clone(), gradients);
                    loss.into_scalar::<f32>()
                })
            });
        });
    }
    group.finish();
}

fn scan(criterion: &mut Criterion) {
    let here = Decoding::in_process(Limits::default());
    let detector = Detector::shipped(&Device::flex()).unwrap().with_decoding(here);
    let options = ScanOptions::default().frames(FRAMES);
    let clip = sample_clip();
    assert!(!detector.scan(&clip, &options).unwrap().report.observations.is_empty());
    criterion.bench_function("scan/cpu/12 frames of 320x320", |bencher| {
        bencher.iter(|| detector.scan(black_box(&clip), &options).unwrap());
    });
}

fn network(device: &Device) -> Network {
    device.seed(1);
    NetworkConfig::new(Architecture::MobileNetV3Small, 1).init(device)
}

criterion_group! {
    name = stages;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = decode, detect, classify, pictures, train_step, scan
}
criterion_main!(stages);
