//! What the plots have in common: a plane between two axes, and a list of rows along one.

use super::axis::Axis;
use super::canvas::{Canvas, Ink, Margins, Plane, PlotError, Side, WIDTH, shortened, text_width};

/// Around a plane between two axes; the axes' names and ticks stand there.
const MARGINS: Margins = Margins { top: 26, right: 16, bottom: 44, left: 52 };
/// Around rows: their names stand in them.
const ROW_MARGINS: Margins = Margins { top: 6, right: 12, bottom: 44, left: 12 };
/// From the top of a row to the middle of its name, and to the middle of its marks.
const NAME_PIXELS: f64 = 12.0;
const MARKS_PIXELS: f64 = 28.0;
const ROW_PIXELS: u32 = 40;

/// A plane between two axes.
pub(in crate::judge::report) struct Frame<'a> {
    /// Name for those who do not see it.
    pub title: &'a str,
    /// From left to right, and its name with its unit.
    pub x: (&'a Axis, &'a str),
    /// From the bottom to the top, and its name with its unit.
    pub y: (&'a Axis, &'a str),
    /// In pixels, all of it.
    pub height: u32,
}

impl Frame<'_> {
    /// The SVG: `under` is drawn before the grid, `paint` after it.
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

/// Grid lines across, ticks under them and the axis's name under these.
fn draw_x_axis(plane: &Plane<'_>, axis: &Axis, name: &str) -> Result<(), PlotError> {
    for (place, text) in &axis.ticks {
        plane.line(&[(*place, plane.y.start), (*place, plane.y.end)], Ink::Grid, 1.0)?;
        plane.text_within((*place, plane.y.start), 6.0, text, Ink::Quiet)?;
    }
    plane.text((plane.x.end, plane.y.start), [0.0, 32.0], Side::Left, name, Ink::Text)
}

/// Rows of marks along one axis, each under its name.
pub(in crate::judge::report) struct Rows<'a> {
    /// Name for those who do not see it.
    pub title: &'a str,
    /// The axis and its name with its unit.
    pub x: (&'a Axis, &'a str),
    /// Where a line points out the value that stands for no error, or no weight.
    pub reference: Option<f64>,
    /// What stands over the marks of each row: to the left its name, to the right a figure.
    pub names: &'a [(String, String)],
}

impl Rows<'_> {
    /// The SVG: `under` is drawn before the grid; `paint` draws the marks of the row with this index at this height.
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
            // From the top to the bottom, in pixels.
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
