//! A face detector that is not MTCNN, through a whole scan.

use std::sync::Arc;

use deeptell::{Error, Face, FaceDetector, FaceDetectorId, FaceError, Input, Rect, RgbImage, Warning};
use tempfile::TempDir;

use crate::{DETECTOR, landscape_clip, options};

/// Takes the middle of every image for a face.
#[derive(Debug)]
struct Middle;

impl FaceDetector for Middle {
    fn id(&self) -> FaceDetectorId {
        FaceDetectorId::new("middle")
    }

    fn detect(&self, images: &[&RgbImage]) -> Result<Vec<Vec<Face>>, FaceError> {
        let middle = |image: &&RgbImage| {
            let whole = Rect::new(0.0, 0.0, image.width() as f32, image.height() as f32);
            vec![Face::frontal(whole.scaled(0.5), 1.0)]
        };
        Ok(images.iter().map(middle).collect())
    }
}

#[test]
fn any_face_detector_goes_through_a_whole_scan() {
    let folder = TempDir::new().unwrap();
    let clip = folder.path().join("landscape.mp4");
    landscape_clip(&clip);
    assert_eq!(DETECTOR.scan(&clip, &options()).unwrap().report.observations.len(), 0);

    let detector = DETECTOR.clone().with_face_detector(Arc::new(Middle));
    assert_eq!(detector.face_detector().id().name, "middle");
    let report = detector.scan(&clip, &options()).unwrap().report;
    assert_eq!((report.frames.len(), report.observations.len(), report.people.len()), (5, 5, 1));
    for o in &report.observations {
        assert_eq!(o.bbox, Rect::new(80.0, 60.0, 240.0, 180.0));
        assert!((o.crop_width - 1.2 * 160.0).abs() < 0.01, "{}", o.crop_width);
    }
    assert!(report.score.is_some());
    // Its boxes are not those that the model was calibrated on.
    let other = Warning::OtherFaceDetector { calibrated: "mtcnn".to_owned(), used: "middle".to_owned() };
    assert_eq!(report.warnings, [other]);

    // It has no setting for the smallest face, so smaller ones are dropped.
    let larger = options().min_face(121.0);
    assert_eq!(detector.scan(&clip, &larger).unwrap().report.observations.len(), 0);
}

/// Fails whatever the image.
#[derive(Debug)]
struct Broken;

impl FaceDetector for Broken {
    fn id(&self) -> FaceDetectorId {
        FaceDetectorId::new("broken")
    }

    fn detect(&self, _: &[&RgbImage]) -> Result<Vec<Vec<Face>>, FaceError> {
        Err(FaceError::failed(&self.id(), "its weights are gone"))
    }
}

#[test]
fn a_face_detector_that_fails_is_named() {
    let detector = DETECTOR.clone().with_face_detector(Arc::new(Broken));
    let error = detector.scan(Input::picture("grey", &RgbImage::new(64, 64)), &options()).unwrap_err();
    assert!(matches!(error, Error::FaceDetector(_)), "{error:?}");
    assert_eq!(error.to_string(), "the face detector broken failed");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "its weights are gone");
}
