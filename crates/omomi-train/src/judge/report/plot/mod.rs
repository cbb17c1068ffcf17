//! The drawing kit of the plots: from plain series to an SVG whose colors are the page's. This file has the two forms
//! of plots: a plotting area between two axes, and rows along one axis.

mod axis;
mod canvas;

pub(super) use axis::Axis;
pub(super) use canvas::{Ink, Plane, PlotError, Side};

use canvas::{Canvas, Margins, WIDTH, shortened, text_width};

/// Margins around a plotting area between two axes, for the names and ticks of the axes.
const MARGINS: Margins = Margins { top: 26, right: 16, bottom: 44, left: 52 };
/// Margins around rows, whose names are inside them.
const ROW_MARGINS: Margins = Margins { top: 6, right: 12, bottom: 44, left: 12 };
/// Distances from the top of a row to the middle of its name, and to the middle of its marks.
const NAME_PIXELS: f64 = 12.0;
const MARKS_PIXELS: f64 = 28.0;
const ROW_PIXELS: u32 = 40;

/// A plotting area between two axes.
pub(in crate::judge::report) struct Frame<'a> {
    /// Name for screen readers.
    pub title: &'a str,
    /// The horizontal axis, and its name with its unit.
    pub x: (&'a Axis, &'a str),
    /// The vertical axis, and its name with its unit.
    pub y: (&'a Axis, &'a str),
    /// Height of the whole plot in pixels.
    pub height: u32,
}

impl Frame<'_> {
    /// Returns the SVG. `under` draws before the grid, `paint` after it.
    pub(in crate::judge::report) fn draw(
        &self,
        under: impl FnOnce(&Plane<'_>) -> Result<(), PlotError>,
        paint: impl FnOnce(&Plane<'_>) -> Result<(), PlotError>,
    ) -> Result<String, PlotError> {
        let ((x, x_name), (y, y_name)) = (self.x, self.y);
        let canvas =
            Canvas { title: self.title.to_owned(), height: self.height, margins: MARGINS, x: x.range(), y: y.range() };
        canvas.draw(|plane| {
            under(plane)?;
            draw_x_axis(plane, x, x_name)?;
            for (place, text) in &y.ticks {
                plane.line(&[(plane.x.start, *place), (plane.x.end, *place)], Ink::Grid, 1.0)?;
                plane.text((plane.x.start, *place), [-6.0, 0.0], Side::Left, text, Ink::Quiet)?;
            }
            let top_left = (plane.x.start, plane.y.end);
            plane.text(top_left, [-f64::from(MARGINS.left) + 2.0, -16.0], Side::Right, y_name, Ink::Text)?;
            paint(plane)
        })
    }
}

/// Draws the vertical grid lines, the ticks below them, and the name of the axis.
fn draw_x_axis(plane: &Plane<'_>, axis: &Axis, name: &str) -> Result<(), PlotError> {
    for (place, text) in &axis.ticks {
        plane.line(&[(*place, plane.y.start), (*place, plane.y.end)], Ink::Grid, 1.0)?;
        plane.text_within((*place, plane.y.start), 6.0, text, Ink::Quiet)?;
    }
    plane.text((plane.x.end, plane.y.start), [0.0, 32.0], Side::Left, name, Ink::Text)
}

/// Rows of marks along one axis, each below its name.
pub(in crate::judge::report) struct Rows<'a> {
    /// Name for screen readers.
    pub title: &'a str,
    /// The axis, and its name with its unit.
    pub x: (&'a Axis, &'a str),
    /// A value to mark with a line, such as the one that means no error or no weight.
    pub reference: Option<f64>,
    /// The texts above the marks of each row: its name on the left, a value on the right.
    pub names: &'a [(String, String)],
}

impl Rows<'_> {
    /// Returns the SVG. `under` draws before the grid; `paint` draws the marks of the row with the given index at the
    /// given height.
    pub(in crate::judge::report) fn draw(
        &self,
        under: impl FnOnce(&Plane<'_>) -> Result<(), PlotError>,
        paint: impl Fn(&Plane<'_>, usize, f64) -> Result<(), PlotError>,
    ) -> Result<String, PlotError> {
        let (axis, axis_name) = self.x;
        let row_count = u32::try_from(self.names.len()).unwrap_or(u32::MAX).max(1);
        let around = (ROW_MARGINS.top + ROW_MARGINS.bottom).unsigned_abs();
        let canvas = Canvas {
            title: self.title.to_owned(),
            height: row_count.saturating_mul(ROW_PIXELS).saturating_add(around),
            margins: ROW_MARGINS,
            x: axis.range(),
            // From top to bottom, in pixels.
            y: f64::from(row_count * ROW_PIXELS)..0.0,
        };
        canvas.draw(|plane| {
            under(plane)?;
            draw_x_axis(plane, axis, axis_name)?;
            if let Some(reference) = self.reference {
                let x = axis.place(reference);
                plane.line(&[(x, plane.y.start), (x, plane.y.end)], Ink::Reference, 1.5)?;
            }
            for (index, (name, figure)) in self.names.iter().enumerate() {
                let top = index as f64 * f64::from(ROW_PIXELS);
                plane.line(&[(plane.x.start, top), (plane.x.end, top)], Ink::Grid, 1.0)?;
                paint(plane, index, top + MARKS_PIXELS)?;
                let (at, room) = (top + NAME_PIXELS, f64::from(WIDTH) - text_width(figure) - 40.0);
                plane.text((plane.x.start, at), [4.0, 0.0], Side::Right, &shortened(name, room), Ink::Text)?;
                plane.text((plane.x.end, at), [-4.0, 0.0], Side::Left, figure, Ink::Quiet)?;
            }
            Ok(())
        })
    }
}
