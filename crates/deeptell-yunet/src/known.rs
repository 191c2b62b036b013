use deeptell_weights::KnownFile;

/// The published files of YuNet. [`YuNetWeights`](crate::YuNetWeights) reads others of the same structure, too.
pub const KNOWN_FILES: &[KnownFile] = &[
    KnownFile {
        name: "face_detection_yunet_2023mar.onnx",
        sha256: "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        origin: "YuNet of the OpenCV zoo, March 2023 (MIT), \
                 https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet",
    },
    KnownFile {
        name: "yunet_n_640_640.onnx",
        sha256: "25a606a145a5b6d7271ae138fbd00eba91dad8b83222ae3f2c7ecd0f4a7b0e31",
        origin: "YuNet-n of libfacedetection.train for 640x640 (Apache-2.0), \
                 https://github.com/ShiqiYu/libfacedetection.train",
    },
    KnownFile {
        name: "yunet_n_dynamic.onnx",
        sha256: "104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12",
        origin: "YuNet-n of libfacedetection.train for any size (Apache-2.0), \
                 https://github.com/ShiqiYu/libfacedetection.train",
    },
];
