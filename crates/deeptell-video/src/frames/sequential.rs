//! Decoding every frame from the beginning, which needs nothing but a working decoder.

use std::sync::Arc;

use super::position::{Pass, Shown};
use crate::VideoError;
use crate::decoder::Picture;
use crate::local::LocalReader;
use crate::survey::Survey;

/// The frames taken from the decoder in order.
pub(super) struct Sequence {
    /// How many were taken.
    pub(super) taken: u64,
    /// Time of the last one, in ticks.
    pub(super) last: Option<i64>,
    /// Ticks by which the decoder's times are late.
    late_by: i64,
    /// Only keyframes are put on screen.
    keyframes_only: bool,
}

impl Sequence {
    /// None yet.
    pub(super) fn new(keyframes_only: bool) -> Self {
        Self { taken: 0, last: None, late_by: 0, keyframes_only }
    }

    /// Brings the next frame on screen; `false` after the last.
    pub(super) fn show_next(
        &mut self,
        pass: &mut Pass,
        reader: &mut LocalReader,
    ) -> Result<bool, VideoError> {
        loop {
            if let Some(picture) = pass.position.ready.pop_front() {
                let pts = self.time_of(&picture, &reader.survey);
                self.take(picture, pts, pass);
                return Ok(true);
            }
            if !decode_packet(pass, reader)? {
                return Ok(false);
            }
        }
    }

    /// Decodes every frame until the one of `moment` is on screen, and on to one that is `later_than` a time.
    pub(super) fn show(
        &mut self,
        moment: i64,
        later_than: Option<i64>,
        pass: &mut Pass,
        reader: &mut LocalReader,
    ) -> Result<(), VideoError> {
        let must_change = |pass: &Pass| {
            let shown = pass.shown.as_ref().map(|shown| shown.pts);
            shown.zip(later_than).is_some_and(|(shown, earlier)| shown <= earlier)
        };
        loop {
            while let Some(picture) = pass.position.ready.pop_front() {
                let pts = self.time_of(&picture, &reader.survey);
                if pts > moment && self.taken > 0 && !must_change(pass) {
                    pass.position.ready.push_front(picture);
                    return Ok(());
                }
                self.take(picture, pts, pass);
            }
            if !decode_packet(pass, reader)? {
                return Ok(());
            }
        }
    }

    /// Counts the frame that follows the last one taken, and puts it on screen if that is wanted.
    fn take(&mut self, picture: Picture, pts: i64, pass: &mut Pass) {
        let index = Some(self.taken);
        self.taken += 1;
        self.last = Some(pts);
        if !self.keyframes_only || picture.frame.is_key() || pass.shown.is_none() {
            pass.shown = Some(Arc::new(Shown { picture, pts, index }));
        }
    }

    /// The time of the next frame: its own, unless it has none or the clock went backwards.
    fn time_of(&mut self, picture: &Picture, survey: &Survey) -> i64 {
        if self.last.is_none() && picture.frame.pts().is_none() {
            // Such times are those of decoding, and late by the decoder's delay.
            self.late_by = picture.pts.map_or(0, |pts| pts.saturating_sub(survey.start));
        }
        let expected = self.last.map_or(survey.start, |last| last.saturating_add(survey.frame_ticks));
        let own = picture.pts.map(|pts| pts.saturating_sub(self.late_by));
        own.filter(|pts| self.last.is_none_or(|last| *pts > last)).unwrap_or(expected)
    }
}

/// Decodes the next packet in full; `false` when nothing is left.
fn decode_packet(pass: &mut Pass, reader: &mut LocalReader) -> Result<bool, VideoError> {
    if pass.position.is_drained {
        return Ok(false);
    }
    if let Some(packet) = pass.next_packet(reader)? {
        reader.decoder.decode(&packet, true, &mut pass.position.ready)?;
    }
    Ok(true)
}
