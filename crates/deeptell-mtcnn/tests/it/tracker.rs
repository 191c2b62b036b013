//! The tracker on the astronaut's portrait, moved as a camera would.

use deeptell_mtcnn::{FoundBy, KeyFrame, TrackedFrame, Tracker, TrackerConfig};

use super::*;

fn tracker(config: TrackerConfig) -> Tracker {
    let mtcnn = MtcnnConfig::default().min_face(40.0);
    Tracker::new(mtcnn.init(&Device::flex()).unwrap(), config).unwrap()
}

/// A frame with the portrait at each place.
fn frame(places: &[(u32, u32, f32)]) -> RgbImage {
    collage(480, 270, places).0
}

fn tracks(frame: &TrackedFrame) -> Vec<u64> {
    let mut tracks: Vec<u64> = frame.faces.iter().map(|face| face.track).collect();
    tracks.sort_unstable();
    tracks
}

#[test]
fn moving_faces_keep_their_tracks() {
    let mut tracker = tracker(TrackerConfig::default());
    for number in 0..11 {
        let places = [(20 + 3 * number, 20, 1.0), (300 - 2 * number, 100 + number, 0.6)];
        let (image, expected) = collage(480, 270, &places);
        let tracked = tracker.follow(&image).unwrap();
        let look = match number {
            0 => FoundBy::Cascade(KeyFrame::First),
            5 | 10 => FoundBy::Cascade(KeyFrame::Interval),
            _ => FoundBy::OutputNetwork,
        };
        assert_eq!(tracked.found_by, look, "frame {number}");
        assert_eq!(tracks(&tracked), [0, 1], "frame {number}");
        for face in &tracked.faces {
            let expected = &expected[face.track as usize];
            assert!(face.unsmoothed.bbox.iou(expected) > 0.75, "frame {number}: {face:?}");
            assert!(face.face.bbox.iou(expected) > 0.65, "frame {number}: {face:?}");
        }
    }
}

#[test]
fn tracker_predicts_motion() {
    let mut tracker = tracker(TrackerConfig::default().scene_cut(0.9));
    let looks = (0..12).map(|number| {
        // It gains speed, up to its own width a frame: looked for where it was, it would be lost.
        let x = (0..number).map(|step| (16 * step).min(80)).sum::<u32>();
        let (image, expected) = collage(1000, 270, &[(x, 20, 1.0)]);
        let tracked = tracker.follow(&image).unwrap();
        assert_eq!(tracks(&tracked), [0], "frame {number}");
        let overlap = tracked.faces[0].unsmoothed.bbox.iou(&expected[0]);
        assert!(overlap > 0.8, "frame {number}: {overlap}");
        tracked.found_by
    });
    let searches = looks.filter(|look| matches!(look, FoundBy::Cascade(_))).count();
    assert_eq!(searches, 3, "the first frame and every fifth");
}

#[test]
fn lost_face_triggers_search_and_keeps_its_track() {
    let mut tracker = tracker(TrackerConfig::default().scene_cut(0.9));
    let (both, one) = ([(20, 20, 1.0), (300, 100, 0.6)], [(20, 20, 1.0)]);
    for _ in 0..2 {
        assert_eq!(tracks(&tracker.follow(&frame(&both)).unwrap()), [0, 1]);
    }
    let without = tracker.follow(&frame(&one)).unwrap();
    assert_eq!((without.found_by, tracks(&without)), (FoundBy::Cascade(KeyFrame::Lost), vec![0]));
    // A face that is already lost does not cause another search.
    assert_eq!(tracker.follow(&frame(&one)).unwrap().found_by, FoundBy::OutputNetwork);
    for _ in 0..3 {
        assert_eq!(tracks(&tracker.follow(&frame(&one)).unwrap()), [0]);
    }
    let back: Vec<TrackedFrame> = (0..5).map(|_| tracker.follow(&frame(&both)).unwrap()).collect();
    assert_eq!(tracks(&back[4]), [0, 1], "{back:?}");
}

#[test]
fn face_missed_for_long_gets_new_track() {
    let config = TrackerConfig::default().scene_cut(0.9).max_missed(3).key_interval(2);
    let mut tracker = tracker(config);
    tracker.follow(&frame(&[(20, 20, 1.0)])).unwrap();
    for _ in 0..5 {
        assert!(tracks(&tracker.follow(&frame(&[])).unwrap()).is_empty());
    }
    let back = (0..2).map(|_| tracks(&tracker.follow(&frame(&[(20, 20, 1.0)])).unwrap()));
    assert_eq!(back.last().unwrap(), [1]);
}

#[test]
fn scene_cut_triggers_search_and_new_tracks() {
    let mut tracker = tracker(TrackerConfig::default());
    let first = frame(&[(20, 20, 1.0)]);
    tracker.follow(&first).unwrap();
    // The same face at the same place in another room.
    let mut second = RgbImage::from_pixel(480, 270, image::Rgb([230, 235, 240]));
    imageops::replace(&mut second, &imageops::crop_imm(&first, 20, 20, 210, 230).to_image(), 20, 20);
    let cut = tracker.follow(&second).unwrap();
    assert_eq!((cut.found_by, tracks(&cut)), (FoundBy::Cascade(KeyFrame::SceneCut), vec![1]));
    // Frames of another size are another scene as well.
    let resized = tracker.follow(&ASTRONAUT).unwrap();
    assert_eq!((resized.found_by, tracks(&resized)), (FoundBy::Cascade(KeyFrame::SceneCut), vec![2]));
}

#[test]
fn tracker_accepts_odd_frames_and_rejects_bad_settings() {
    let mtcnn = MTCNN.clone();
    let error = Tracker::new(mtcnn.clone(), TrackerConfig::default().key_interval(0));
    assert!(matches!(error, Err(MtcnnError::Setting { setting: "key_interval", .. })));
    let frames = [RgbImage::new(0, 0), RgbImage::new(1, 1), RgbImage::new(11, 400), ASTRONAUT.clone()];
    let mut tracker = Tracker::new(mtcnn, TrackerConfig::default()).unwrap();
    assert_eq!(frames.map(|frame| tracker.follow(&frame).unwrap().faces.len()), [0, 0, 0, 1]);
}
