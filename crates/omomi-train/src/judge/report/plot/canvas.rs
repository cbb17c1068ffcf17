//! Marks on a plane, drawn by plotters, and the SVG that a page can colour.
//!
//! Plotters writes fixed colours, sizes and fonts. Each [`Ink`] therefore has a colour that stands for it only until the SVG is
//! finished: a class takes its place, and the page's style sheet says what the class looks like by day and by night.

use std::ops::Range;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Plotters places marks on whole units, so that everything is drawn this many times as large as it is shown.
const UNITS: i32 = 10;
/// How wide a plot is, in the pixels of its font size: narrow, so that it can be read on a telephone.
pub(super) const WIDTH: u32 = 400;
/// Height of the letters.
const LETTERS: f64 = 12.0;
/// Plotters divides sizes by this before it writes them.
const FONT_FACTOR: f64 = 1.24;

/// What a mark means; the style sheet has a colour for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::judge::report) enum Ink {
    /// The evaluated model.
    Model,
    /// What it is compared with.
    Baseline,
    /// What is pointed out.
    Chosen,
    /// Text to read.
    Text,
    /// Text beside it.
    Quiet,
    /// Text among marks, with room around its letters.
    Label,
    /// Grid lines.
    Grid,
    /// Where the best value lies, or a limit.
    Reference,
    /// What is usual.
    Usual,
    /// What is still tolerated.
    Tolerated,
    /// Neither good nor bad: from few to many.
    Step(u8),
}

/// Steps of [`Ink::Step`].
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

    /// All of them with their names in the style sheet.
    fn all() -> impl Iterator<Item = (Self, String)> {
        let named = Self::NAMED.iter().map(|&(ink, name)| (ink, name.to_owned()));
        named.chain((0..STEP_COUNT).map(|step| (Self::Step(step), format!("step-{step}"))))
    }

    /// The colour that stands for it until the class does.
    fn stand_in(self) -> RGBColor {
        let index = Self::all().zip(1..).find(|((ink, _), _)| *ink == self).map_or(0, |(_, index)| index);
        RGBColor(0, 0, index)
    }
}

/// Where a text stands from its point.
#[derive(Debug, Clone, Copy)]
pub(in crate::judge::report) enum Side {
    /// To the left of it, in the middle of its height.
    Left,
    /// To the right of it, in the middle of its height.
    Right,
    /// Under it, centred.
    Below,
}

/// Why a plot could not be drawn.
pub(in crate::judge::report) type PlotError = DrawingAreaErrorKind<std::io::Error>;

/// What lies around the plane, in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Margins {
    /// Over it.
    pub top: i32,
    /// To the right of it.
    pub right: i32,
    /// Under it.
    pub bottom: i32,
    /// To the left of it.
    pub left: i32,
}

/// A drawing in the making.
pub(super) struct Canvas {
    /// Name for those who do not see it.
    pub title: String,
    /// In pixels.
    pub height: u32,
    /// Around the plane.
    pub margins: Margins,
    /// What the plane shows, from left to right.
    pub x: Range<f64>,
    /// What the plane shows, from the bottom to the top.
    pub y: Range<f64>,
}

impl Canvas {
    /// The SVG of what `paint` draws.
    pub(super) fn draw(&self, paint: impl FnOnce(&Plane<'_>) -> Result<(), PlotError>) -> Result<String, PlotError> {
        let mut svg = String::new();
        let scale = UNITS.unsigned_abs();
        let root = SVGBackend::with_string(&mut svg, (WIDTH * scale, self.height * scale)).into_drawing_area();
        let Margins { top, right, bottom, left } = self.margins;
        let (width, height) = (WIDTH.cast_signed() * UNITS, self.height.cast_signed() * UNITS);
        let across = left * UNITS..width - right * UNITS;
        // From the bottom to the top, against the direction in which pixels are counted.
        let down = height - bottom * UNITS..top * UNITS;
        let coordinates = Cartesian2d::new(self.x.clone(), self.y.clone(), (across, down));
        let area = root.apply_coord_spec(coordinates);
        paint(&Plane { area, x: self.x.clone(), y: self.y.clone() })?;
        root.present()?;
        drop(root);
        Ok(with_classes(&svg, &self.title, self.height))
    }
}

/// Where marks are placed by what they mean.
pub(in crate::judge::report) struct Plane<'a> {
    area: DrawingArea<SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>,
    /// What it shows, from left to right.
    pub x: Range<f64>,
    /// What it shows, from the bottom to the top.
    pub y: Range<f64>,
}

type Point = (f64, f64);

impl Plane<'_> {
    /// A line through `points`, `width` pixels wide.
    pub(in crate::judge::report) fn line(&self, points: &[Point], ink: Ink, width: f64) -> Result<(), PlotError> {
        self.area.draw(&PathElement::new(points.to_vec(), stroke(ink, width)))
    }

    /// A disc.
    pub(in crate::judge::report) fn dot(&self, at: Point, radius: f64, ink: Ink) -> Result<(), PlotError> {
        self.area.draw(&Circle::new(at, units(radius), ink.stand_in().filled()))
    }

    /// A circle with nothing in it.
    pub(in crate::judge::report) fn ring(&self, at: Point, radius: f64, ink: Ink) -> Result<(), PlotError> {
        self.area.draw(&Circle::new(at, units(radius), stroke(ink, 2.0)))
    }

    /// An area with straight edges.
    pub(in crate::judge::report) fn area(&self, outline: &[Point], ink: Ink) -> Result<(), PlotError> {
        self.area.draw(&Polygon::new(outline.to_vec(), ink.stand_in().filled()))
    }

    /// A bar from `from` to `to` along x, around the height `y`: `above` and `below` pixels of it.
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

    /// A text, on the `side` of a place that lies `away` pixels to the right of and below `at`.
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
        let colour = ink.stand_in();
        let style = TextStyle::from(font.into_font()).color(&colour).pos(anchor);
        self.area.strip_coord_spec().draw(&Text::new(text, place, style))
    }

    /// A text under a point and `below` pixels of it, centred as far as the drawing's edges let it.
    pub(super) fn text_within(&self, at: Point, below: f64, text: &str, ink: Ink) -> Result<(), PlotError> {
        let x = f64::from(self.pixel(at).0) / f64::from(UNITS);
        let half = text_width(text) / 2.0 + 1.0;
        let away = x.clamp(half, (f64::from(WIDTH) - half).max(half)) - x;
        self.text(at, [away, below], Side::Below, text, ink)
    }

    /// Where a point lies on the whole drawing.
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

/// The SVG with a class for each stand-in colour, without sizes and fonts, which are the page's affair, and with a name.
fn with_classes(svg: &str, title: &str, height: u32) -> String {
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let mut body = body.replace(" font-family=\"sans-serif\"", "").replace(" opacity=\"1\"", "");
    for (ink, name) in Ink::all() {
        let RGBColor(red, green, blue) = ink.stand_in();
        let colour = format!("#{red:02X}{green:02X}{blue:02X}");
        for property in ["fill", "stroke"] {
            let class = format!("class=\"{property}-{name}\"");
            body = body.replace(&format!("{property}=\"{colour}\""), &class);
        }
    }
    let (width, height) = (WIDTH * UNITS.unsigned_abs(), height * UNITS.unsigned_abs());
    let title = title.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>{body}")
}

/// Width of a text in pixels, as far as it can be told without its font.
pub(super) fn text_width(text: &str) -> f64 {
    let letter = |letter: char| match letter {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '|' | '\'' | ' ' | '(' | ')' | '[' | ']' | 'f' | 't' | 'r' => 0.34,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.92,
        letter if letter.is_ascii_lowercase() || letter.is_ascii_digit() => 0.58,
        letter if letter.is_ascii() => 0.7,
        // Chinese and Japanese letters are as wide as they are high.
        _ => 1.0,
    };
    text.chars().map(letter).sum::<f64>() * LETTERS
}

/// The text, without its middle where it is wider than `pixels`: names differ at their beginnings and ends.
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
    fn marks_have_classes_and_no_colour() {
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
        // 400 pixels less 40 and 20 across, 140 less 10 and 30 down.
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
