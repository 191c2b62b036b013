//! One module per command: its arguments, and what it does.

pub(crate) mod audit;
pub(crate) mod calibrate;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod devices;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod extract;
pub(crate) mod faces;
pub(crate) mod leave_one_out;
pub(crate) mod man;
pub(crate) mod merge;
pub(crate) mod preview;
pub(crate) mod scan;
pub(crate) mod serve;
pub(crate) mod split;
pub(crate) mod status;
pub(crate) mod suite;
pub(crate) mod train;
pub(crate) mod weights;
