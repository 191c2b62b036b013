//! The tracker on the astronaut's portrait, moved as a camera would.

use deeptell_mtcnn::{KeyFrame, Look, TrackedFrame, Tracker, TrackerConfig};

use super::*;

fn tracker(config: TrackerConfig) -> Tracker {
    let mtcnn = MtcnnConfig { min_face: 40.0.into(), ..MtcnnConfig::default() };
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
fn two_faces_that_move_keep_their_tracks_between_searches() {
    let mut tracker = tracker(TrackerConfig::default());
    for number in 0..11 {
        let places = [(20 + 3 * number, 20, 1.0), (300 - 2 * number, 100 + number, 0.6)];
        let (image, expected) = collage(480, 270, &places);
        let tracked = tracker.follow(&image).unwrap();
        let look = match number {
            0 => Look::Cascade(KeyFrame::First),
            5 | 10 => Look::Cascade(KeyFrame::Interval),
            _ => Look::OutputNetwork,
        };
        assert_eq!(tracked.look, look, "frame {number}");
        assert_eq!(tracks(&tracked), [0, 1], "frame {number}");
        for face in &tracked.faces {
            let expected = &expected[face.track as usize];
            assert!(face.unsmoothed.bbox.iou(expected) > 0.75, "frame {number}: {face:?}");
            assert!(face.face.bbox.iou(expected) > 0.65, "frame {number}: {face:?}");
        }
    }
}

#[test]
fn a_face_that_runs_is_looked_for_where_it_is_going() {
    let mut tracker = tracker(TrackerConfig { scene_cut: 0.9, ..TrackerConfig::default() });
    let looks = (0..12).map(|number| {
        // It gains speed, up to its own width a frame: looked for where it was, it would be lost.
        let x = (0..number).map(|step| (16 * step).min(80)).sum::<u32>();
        let (image, expected) = collage(1000, 270, &[(x, 20, 1.0)]);
        let tracked = tracker.follow(&image).unwrap();
        assert_eq!(tracks(&tracked), [0], "frame {number}");
        let overlap = tracked.faces[0].unsmoothed.bbox.iou(&expected[0]);
        assert!(overlap > 0.8, "frame {number}: {overlap}");
        tracked.look
    });
    let searches = looks.filter(|look| matches!(look, Look::Cascade(_))).count();
    assert_eq!(searches, 3, "the first frame and every fifth");
}

#[test]
fn a_face_that_vanishes_is_searched_at_once_and_found_again_as_itself() {
    let mut tracker = tracker(TrackerConfig { scene_cut: 0.9, ..TrackerConfig::default() });
    let (both, one) = ([(20, 20, 1.0), (300, 100, 0.6)], [(20, 20, 1.0)]);
    for _ in 0..2 {
        assert_eq!(tracks(&tracker.follow(&frame(&both)).unwrap()), [0, 1]);
    }
    let without = tracker.follow(&frame(&one)).unwrap();
    assert_eq!((without.look, tracks(&without)), (Look::Cascade(KeyFrame::Lost), vec![0]));
    // What is lost already is no reason to search again.
    assert_eq!(tracker.follow(&frame(&one)).unwrap().look, Look::OutputNetwork);
    for _ in 0..3 {
        assert_eq!(tracks(&tracker.follow(&frame(&one)).unwrap()), [0]);
    }
    let back: Vec<TrackedFrame> = (0..5).map(|_| tracker.follow(&frame(&both)).unwrap()).collect();
    assert_eq!(tracks(&back[4]), [0, 1], "{back:?}");
}

#[test]
fn a_face_that_stays_away_comes_back_as_somebody_else() {
    let config = TrackerConfig { scene_cut: 0.9, max_missed: 3, key_interval: 2, ..TrackerConfig::default() };
    let mut tracker = tracker(config);
    tracker.follow(&frame(&[(20, 20, 1.0)])).unwrap();
    for _ in 0..5 {
        assert!(tracks(&tracker.follow(&frame(&[])).unwrap()).is_empty());
    }
    let back = (0..2).map(|_| tracks(&tracker.follow(&frame(&[(20, 20, 1.0)])).unwrap()));
    assert_eq!(back.last().unwrap(), [1]);
}

#[test]
fn another_scene_begins_with_a_search_and_new_tracks() {
    let mut tracker = tracker(TrackerConfig::default());
    let first = frame(&[(20, 20, 1.0)]);
    tracker.follow(&first).unwrap();
    // The same face at the same place in another room.
    let mut second = RgbImage::from_pixel(480, 270, image::Rgb([230, 235, 240]));
    imageops::replace(&mut second, &imageops::crop_imm(&first, 20, 20, 210, 230).to_image(), 20, 20);
    let cut = tracker.follow(&second).unwrap();
    assert_eq!((cut.look, tracks(&cut)), (Look::Cascade(KeyFrame::SceneCut), vec![1]));
    // Frames of another size are another scene as well.
    let resized = tracker.follow(&ASTRONAUT).unwrap();
    assert_eq!((resized.look, tracks(&resized)), (Look::Cascade(KeyFrame::SceneCut), vec![2]));
}

#[test]
fn odd_frames_are_safe_and_bad_settings_are_refused() {
    let mtcnn = MTCNN.clone();
    let error = Tracker::new(mtcnn.clone(), TrackerConfig { key_interval: 0, ..TrackerConfig::default() });
    assert!(matches!(error, Err(MtcnnError::Setting { setting: "key_interval", .. })));
    let frames = [RgbImage::new(0, 0), RgbImage::new(1, 1), RgbImage::new(11, 400), ASTRONAUT.clone()];
    let mut tracker = Tracker::new(mtcnn, TrackerConfig::default()).unwrap();
    assert_eq!(frames.map(|frame| tracker.follow(&frame).unwrap().faces.len()), [0, 0, 0, 1]);
}
