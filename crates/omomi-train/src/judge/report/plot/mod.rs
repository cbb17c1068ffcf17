//! The drawing kit of the plots: from plain series to an SVG whose colors are the page's.

mod axis;
mod canvas;
mod frame;

pub(super) use axis::Axis;
pub(super) use canvas::{Ink, Plane, PlotError, Side};
pub(super) use frame::{Frame, Rows};
