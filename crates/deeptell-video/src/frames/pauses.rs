//! Moments of large files that fall on one frame, as in a pause.

use crate::VideoError;
use crate::demuxer::is_shown;
use crate::local::LocalReader;
use crate::packets::Packets;
use crate::sampling::Moments;

/// Pairs of neighboring moments to look for a frame between, before all of the file is read instead.
const MAX_DOUBTS: usize = 64;

/// Whether moments of a large file fall on one frame, or ruling that out would take too long: then its
/// packets must be read to find other frames. `false` where they were read already, or may not be.
pub(super) fn are_likely(reader: &mut LocalReader, moments: &Moments) -> Result<bool, VideoError> {
    if reader.survey.is_counted
        || reader.facts.clock_may_jump
        || !moments.wants_different()
        || reader.guard.is_half_spent()
        || moments.doubtful(&reader.packets.index_times()).next().is_none()
    {
        return Ok(false);
    }
    // Some containers come to know their index when it is needed for the first time.
    reader.fresh = false;
    if !reader.packets.seek(reader.survey.start) {
        return Ok(false);
    }
    let starts = reader.packets.index_times();
    let doubtful: Vec<_> = moments.doubtful(&starts).take(MAX_DOUBTS + 1).collect();
    let mut are_likely = doubtful.len() > MAX_DOUBTS;
    for (before, moment) in doubtful {
        are_likely = are_likely || !has_frame_between(&mut reader.packets, before, moment)?;
    }
    Ok(are_likely)
}

/// Whether a frame begins after `before` and not after `moment`.
fn has_frame_between(packets: &mut Packets, before: i64, moment: i64) -> Result<bool, VideoError> {
    if !packets.seek(moment) {
        return Ok(false);
    }
    while let Some(packet) = packets.next()? {
        if is_shown(&packet) && packet.pts().is_some_and(|pts| before < pts && pts <= moment) {
            return Ok(true);
        }
        if packet.dts().is_some_and(|dts| dts > moment) {
            break;
        }
    }
    Ok(false)
}
