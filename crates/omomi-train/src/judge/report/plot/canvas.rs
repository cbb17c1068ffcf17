//! Draws marks with the crate plotters, as an SVG whose colors the page sets.
//!
//! Plotters writes fixed colors, sizes and fonts. Therefore each [`Ink`] has a placeholder color while drawing. In the
//! finished SVG, a CSS class replaces the placeholder, and the page's style sheet defines the class for light and dark
//! themes.

use std::ops::Range;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Scale of the drawing. Plotters rounds positions to whole units, so everything is drawn this many times larger.
const UNITS: i32 = 10;
/// Width of a plot, in pixels of its font size: narrow, so that it is readable on a phone.
pub(super) const WIDTH: u32 = 400;
/// Font size in pixels.
const LETTERS: f64 = 12.0;
/// Plotters divides font sizes by this before it writes them.
const FONT_FACTOR: f64 = 1.24;

/// The meaning of a mark. The style sheet has a color for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::judge::report) enum Ink {
    /// The evaluated model.
    Model,
    /// The baseline.
    Baseline,
    /// A highlighted mark.
    Chosen,
    /// Main text.
    Text,
    /// Secondary text.
    Quiet,
    /// Text among marks, with a margin around its letters.
    Label,
    /// Grid lines.
    Grid,
    /// The ideal value, or a limit.
    Reference,
    /// The usual range.
    Usual,
    /// The tolerated range.
    Tolerated,
    /// A step of a neutral scale, from few to many.
    Step(u8),
}

/// Number of steps of [`Ink::Step`].
pub(super) const STEP_COUNT: u8 = 4;

impl Ink {
    const NAMED: [(Self, &'static str); 10] = [
        (Self::Model, "model"),
        (Self::Baseline, "baseline"),
        (Self::Chosen, "chosen"),
        (Self::Text, "text"),
        (Self::Quiet, "quiet"),
        (Self::Label, "label"),
        (Self::Grid, "grid"),
        (Self::Reference, "reference"),
        (Self::Usual, "usual"),
        (Self::Tolerated, "tolerated"),
    ];

    /// Returns all inks with their names in the style sheet.
    fn all() -> impl Iterator<Item = (Self, String)> {
        let named = Self::NAMED.iter().map(|&(ink, name)| (ink, name.to_owned()));
        named.chain((0..STEP_COUNT).map(|step| (Self::Step(step), format!("step-{step}"))))
    }

    /// The placeholder color, until the class replaces it.
    fn stand_in(self) -> RGBColor {
        let index = Self::all().zip(1..).find(|((ink, _), _)| *ink == self).map_or(0, |(_, index)| index);
        RGBColor(0, 0, index)
    }
}

/// Position of a text relative to its point.
#[derive(Debug, Clone, Copy)]
pub(in crate::judge::report) enum Side {
    /// To the left, vertically centered.
    Left,
    /// To the right, vertically centered.
    Right,
    /// Below, horizontally centered.
    Below,
}

/// Why a plot could not be drawn.
pub(in crate::judge::report) type PlotError = DrawingAreaErrorKind<std::io::Error>;

/// Margins around the plotting area, in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Margins {
    /// Top margin.
    pub top: i32,
    /// Right margin.
    pub right: i32,
    /// Bottom margin.
    pub bottom: i32,
    /// Left margin.
    pub left: i32,
}

/// A drawing before it is drawn.
pub(super) struct Canvas {
    /// Name for screen readers.
    pub title: String,
    /// Height in pixels.
    pub height: u32,
    /// Margins around the plotting area.
    pub margins: Margins,
    /// The horizontal range, left to right.
    pub x: Range<f64>,
    /// The vertical range, bottom to top.
    pub y: Range<f64>,
}

impl Canvas {
    /// Returns the SVG of what `paint` draws.
    pub(super) fn draw(&self, paint: impl FnOnce(&Plane<'_>) -> Result<(), PlotError>) -> Result<String, PlotError> {
        let mut svg = String::new();
        let scale = UNITS.unsigned_abs();
        let root = SVGBackend::with_string(&mut svg, (WIDTH * scale, self.height * scale)).into_drawing_area();
        let Margins { top, right, bottom, left } = self.margins;
        let (width, height) = (WIDTH.cast_signed() * UNITS, self.height.cast_signed() * UNITS);
        let across = left * UNITS..width - right * UNITS;
        // From bottom to top, while pixels are counted from the top.
        let down = height - bottom * UNITS..top * UNITS;
        let coordinates = Cartesian2d::new(self.x.clone(), self.y.clone(), (across, down));
        let area = root.apply_coord_spec(coordinates);
        paint(&Plane { area, x: self.x.clone(), y: self.y.clone() })?;
        root.present()?;
        drop(root);
        Ok(with_classes(&svg, &self.title, self.height))
    }
}

/// The plotting area. Marks are placed by value, not by pixel.
pub(in crate::judge::report) struct Plane<'a> {
    area: DrawingArea<SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>,
    /// The horizontal range, left to right.
    pub x: Range<f64>,
    /// The vertical range, bottom to top.
    pub y: Range<f64>,
}

type Point = (f64, f64);

impl Plane<'_> {
    /// Draws a line through `points`, `width` pixels wide.
    pub(in crate::judge::report) fn line(&self, points: &[Point], ink: Ink, width: f64) -> Result<(), PlotError> {
        self.area.draw(&PathElement::new(points.to_vec(), stroke(ink, width)))
    }

    /// Draws a filled circle.
    pub(in crate::judge::report) fn dot(&self, at: Point, radius: f64, ink: Ink) -> Result<(), PlotError> {
        self.area.draw(&Circle::new(at, units(radius), ink.stand_in().filled()))
    }

    /// Draws an empty circle.
    pub(in crate::judge::report) fn ring(&self, at: Point, radius: f64, ink: Ink) -> Result<(), PlotError> {
        self.area.draw(&Circle::new(at, units(radius), stroke(ink, 2.0)))
    }

    /// Fills a polygon.
    pub(in crate::judge::report) fn area(&self, outline: &[Point], ink: Ink) -> Result<(), PlotError> {
        self.area.draw(&Polygon::new(outline.to_vec(), ink.stand_in().filled()))
    }

    /// Draws a horizontal bar from `from` to `to`, reaching `above` and `below` pixels from the height `y`.
    pub(in crate::judge::report) fn bar(
        &self,
        from: f64,
        to: f64,
        y: f64,
        [above, below]: [f64; 2],
        ink: Ink,
    ) -> Result<(), PlotError> {
        let [left, right] = [from, to].map(|x| self.pixel((x, y)));
        let corners = [(left.0, left.1 - units(above)), (right.0, right.1 + units(below))];
        self.area.strip_coord_spec().draw(&Rectangle::new(corners, ink.stand_in().filled()))
    }

    /// Draws a text on the `side` of a point that is `away` pixels to the right of and below `at`.
    pub(in crate::judge::report) fn text(
        &self,
        at: Point,
        away: [f64; 2],
        side: Side,
        text: &str,
        ink: Ink,
    ) -> Result<(), PlotError> {
        let (x, y) = self.pixel(at);
        let place = (x + units(away[0]), y + units(away[1]));
        let anchor = match side {
            Side::Left => Pos::new(HPos::Right, VPos::Center),
            Side::Right => Pos::new(HPos::Left, VPos::Center),
            Side::Below => Pos::new(HPos::Center, VPos::Top),
        };
        let font = ("sans-serif", LETTERS * FONT_FACTOR * f64::from(UNITS));
        let color = ink.stand_in();
        let style = TextStyle::from(font.into_font()).color(&color).pos(anchor);
        self.area.strip_coord_spec().draw(&Text::new(text, place, style))
    }

    /// Draws a text `below` pixels under a point, centered unless it would cross an edge of the drawing.
    pub(super) fn text_within(&self, at: Point, below: f64, text: &str, ink: Ink) -> Result<(), PlotError> {
        let x = f64::from(self.pixel(at).0) / f64::from(UNITS);
        let half = text_width(text) / 2.0 + 1.0;
        let away = x.clamp(half, (f64::from(WIDTH) - half).max(half)) - x;
        self.text(at, [away, below], Side::Below, text, ink)
    }

    /// Returns the pixel of a point in the whole drawing.
    fn pixel(&self, at: Point) -> (i32, i32) {
        self.area.map_coordinate(&at)
    }
}

fn stroke(ink: Ink, width: f64) -> ShapeStyle {
    ShapeStyle::from(ink.stand_in()).stroke_width(units(width).unsigned_abs())
}

#[expect(clippy::cast_possible_truncation, reason = "a plot has some hundred pixels")]
fn units(pixels: f64) -> i32 {
    (pixels * f64::from(UNITS)).round() as i32
}

/// Replaces each placeholder color in the SVG with its class, removes sizes and fonts, which the page sets, and adds a
/// name.
fn with_classes(svg: &str, title: &str, height: u32) -> String {
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let mut body = body.replace(" font-family=\"sans-serif\"", "").replace(" opacity=\"1\"", "");
    for (ink, name) in Ink::all() {
        let RGBColor(red, green, blue) = ink.stand_in();
        let color = format!("#{red:02X}{green:02X}{blue:02X}");
        for property in ["fill", "stroke"] {
            let class = format!("class=\"{property}-{name}\"");
            body = body.replace(&format!("{property}=\"{color}\""), &class);
        }
    }
    let (width, height) = (WIDTH * UNITS.unsigned_abs(), height * UNITS.unsigned_abs());
    let title = title.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>{body}")
}

/// Estimates the width of a text in pixels, without its font.
pub(super) fn text_width(text: &str) -> f64 {
    let letter = |letter: char| match letter {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '|' | '\'' | ' ' | '(' | ')' | '[' | ']' | 'f' | 't' | 'r' => 0.34,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.92,
        letter if letter.is_ascii_lowercase() || letter.is_ascii_digit() => 0.58,
        letter if letter.is_ascii() => 0.7,
        // Chinese and Japanese letters are as wide as high.
        _ => 1.0,
    };
    text.chars().map(letter).sum::<f64>() * LETTERS
}

/// Shortens a text to at most `pixels` by removing its middle, because names differ at their beginnings and ends.
pub(super) fn shortened(text: &str, pixels: f64) -> String {
    if text_width(text) <= pixels {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let with = |kept: usize| {
        let head = letters[..kept.div_ceil(2)].iter();
        head.chain(['…'].iter()).chain(&letters[letters.len() - kept / 2..]).collect::<String>()
    };
    let kept = (0..letters.len()).rev().find(|&kept| text_width(&with(kept)) <= pixels);
    with(kept.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canvas() -> Canvas {
        let margins = Margins { top: 10, right: 20, bottom: 30, left: 40 };
        Canvas { title: "a < b & \"c\"".to_owned(), height: 140, margins, x: 0.0..10.0, y: 0.0..1.0 }
    }

    #[test]
    fn marks_have_classes_and_no_color() {
        let svg = canvas().draw(|plane| {
            plane.line(&[(0.0, 0.0), (10.0, 1.0)], Ink::Baseline, 1.5)?;
            plane.dot((5.0, 0.5), 3.0, Ink::Model)?;
            plane.ring((5.0, 0.5), 3.0, Ink::Step(3))?;
            plane.bar(0.0, 5.0, 0.5, [4.0, 4.0], Ink::Usual)?;
            plane.area(&[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)], Ink::Tolerated)?;
            plane.text((0.0, 0.0), [0.0, 0.0], Side::Below, "<b>", Ink::Quiet)
        });
        let svg = svg.unwrap();
        for class in ["stroke-baseline", "fill-model", "stroke-step-3", "fill-usual", "fill-tolerated", "fill-quiet"] {
            assert_eq!(svg.matches(&format!("class=\"{class}\"")).count(), 1, "{class} in {svg}");
        }
        assert!(!svg.contains('#') && !svg.contains("http") && !svg.contains("font-family"), "{svg}");
        assert!(svg.contains("&lt;b&gt;") && svg.contains("<title>a &lt; b &amp; &quot;c&quot;</title>"), "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"), "{svg}");
    }

    #[test]
    fn points_lie_where_the_margins_and_ranges_put_them() {
        let svg = canvas().draw(|plane| plane.line(&[(0.0, 0.0), (10.0, 1.0)], Ink::Model, 1.0)).unwrap();
        // 400 pixels minus 40 and 20 horizontally, 140 minus 10 and 30 vertically.
        assert!(svg.contains("points=\"400,1100 3800,100 \""), "{svg}");
        assert!(svg.contains("viewBox=\"0 0 4000 1400\""), "{svg}");
    }

    #[test]
    fn long_names_keep_their_ends() {
        assert_eq!(shortened("creative_id = 17", 400.0), "creative_id = 17");
        let short = shortened(&"abcdefghij".repeat(20), 100.0);
        assert!(short.starts_with("abc") && short.ends_with("hij") && short.contains('…'), "{short}");
        assert!(text_width(&short) <= 100.0 && text_width(&short) > 80.0, "{short}");
        assert_eq!(shortened("重み重み重み重み", 36.0), "重…み");
    }
}
