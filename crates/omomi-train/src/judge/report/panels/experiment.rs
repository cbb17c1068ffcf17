//! The panels of an experiment: its arms, how they differed over time, and whether their units are as planned; and what
//! another weight file would have earned.

use super::{Absent, Figure, Key, MAX_PLOT_ROWS, Panel, Table, or_dash};
use crate::judge::report::plot::{Axis, Frame, Ink, Plane, PlotError, Rows};
use crate::judge::report::{ReportError, visible};
use crate::learn::utc;
use crate::read_out::{Counterfactual, Estimate, Look, LookMetric, ReadOut};
use crate::readable::{grouped, significant, with_decimals_of};

/// Colors of the arms other than the control arm, with their classes.
const ARMS: [(Ink, &str); 5] = [
    (Ink::Model, "model"),
    (Ink::Step(0), "step-0"),
    (Ink::Step(1), "step-1"),
    (Ink::Step(2), "step-2"),
    (Ink::Chosen, "chosen"),
];
/// Reach of the bar of an interval above and below its row, in pixels.
const BAR: [f64; 2] = [1.5, 1.5];

/// Returns the panels of an experiment.
pub(in crate::judge::report) fn experiment(read_out: Option<&ReadOut>) -> Result<Vec<Panel>, ReportError> {
    let Some(read_out) = read_out else {
        let how = "--ab FILE, as written by omomi ab --json";
        return Ok(vec![Panel::Absent(Absent { title: "Arms of an experiment", how })]);
    };
    let mut panels = vec![arms(read_out)?];
    if read_out.looks.len() > 1 {
        panels.extend(over_time(read_out)?);
        panels.push(units(read_out)?);
    }
    Ok(panels)
}

fn texts(estimate: Option<Estimate>, factor: f64) -> [String; 2] {
    let figure = |value: f64| significant(value * factor, 4);
    let interval = estimate.and_then(|it| Some(format!("{} to {}", figure(it.low?), figure(it.high?))));
    [or_dash(estimate, |it| figure(it.value)), interval.unwrap_or_else(|| "-".to_owned())]
}

/// The final figures: the relative difference of each metric and arm.
fn arms(read_out: &ReadOut) -> Result<Panel, ReportError> {
    let title = "Arms of an experiment";
    if let Some(block) = read_out.blocked.first() {
        let rows = read_out.arms.iter().map(|arm| [arm.arm.clone(), grouped(arm.units), planned(arm.planned_share)]);
        let axis = Axis::linear(read_out.arms.iter().map(|arm| arm.units as f64), true, with_decimals_of);
        let names: Vec<(String, String)> =
            read_out.arms.iter().map(|arm| (visible(arm.arm.clone()), grouped(arm.units))).collect();
        let plot = Rows { title, x: (&axis, "units"), reference: None, names: &names };
        let svg = plot.draw(
            |_| Ok(()),
            |plane, index, at| {
                plane.bar(axis.place(0.0), axis.place(read_out.arms[index].units as f64), at, [3.0, 3.0], Ink::Chosen)
            },
        )?;
        return Ok(Panel::Figure(Figure {
            id: "experiment-arms",
            title,
            caption: format!(
                "{}: blocked. {}. For {}: {}.",
                read_out.experiment, block.message, block.owner, block.action
            ),
            legend: vec![Key::new("chosen", "units of each arm")],
            svg,
            table: Table::new(["arm", "units", "planned"], rows),
        }));
    }
    let differences = read_out.metrics.iter().flat_map(|metric| {
        metric.differences.iter().flatten().filter_map(|it| Some((metric.metric.clone(), it, it.relative?)))
    });
    let shown: Vec<_> = differences.collect();
    let ends = shown.iter().flat_map(|(.., it)| [Some(it.value), it.low, it.high]).flatten().map(|end| end * 100.0);
    let axis = Axis::linear(ends.chain([0.0]), false, with_decimals_of);
    let names: Vec<(String, String)> = shown
        .iter()
        .take(MAX_PLOT_ROWS)
        .map(|(metric, difference, relative)| {
            let [value, interval] = texts(Some(*relative), 100.0);
            (visible(format!("{metric}, {}", difference.arm)), format!("{value} % ({interval})"))
        })
        .collect();
    let plot = Rows { title, x: (&axis, "relative difference, %"), reference: Some(0.0), names: &names };
    let svg = plot.draw(
        |_| Ok(()),
        |plane, index, at| {
            let (_, difference, relative) = &shown[index];
            interval_row(plane, &axis, (*relative, 100.0), at, ink_of(read_out, &difference.arm))
        },
    )?;
    let rows = read_out.metrics.iter().flat_map(|metric| {
        read_out.arms.iter().zip(&metric.arms).map(|(arm, value)| {
            let found = metric.differences.iter().flatten().find(|difference| difference.arm == arm.arm);
            let ([value, interval], [relative, range]) =
                (texts(*value, 1.0), texts(found.and_then(|it| it.relative), 100.0));
            let p_value = or_dash(found.and_then(|it| it.p_value), |it| format!("{it:.4}"));
            [format!("{}, {}", metric.metric, arm.arm), value, interval, relative, range, p_value]
        })
    });
    let test = or_dash(read_out.sample_ratio, |test| format!("as planned (p = {:.3})", test.p_value));
    let units: u64 = read_out.arms.iter().map(|arm| arm.units).sum();
    Ok(Panel::Figure(Figure {
        id: "experiment-arms",
        title,
        caption: format!(
            "{}: the difference of each arm from {}, relative to it, with {:.0} % intervals. {} units of {}; sample \
             ratio {test}.",
            read_out.experiment,
            read_out.control,
            (1.0 - read_out.alpha) * 100.0,
            grouped(units),
            read_out.unit,
        ),
        legend: legend(read_out, 1),
        svg,
        table: Table::new(["metric, arm", "value", "interval", "relative, %", "interval, %", "p"], rows),
    }))
}

fn planned(share: Option<f64>) -> String {
    or_dash(share, |share| format!("{:.2} %", share * 100.0))
}

/// Draws an estimate and its interval.
fn interval_row(
    plane: &Plane<'_>,
    axis: &Axis,
    (estimate, factor): (Estimate, f64),
    at: f64,
    ink: Ink,
) -> Result<(), PlotError> {
    if let (Some(low), Some(high)) = (estimate.low, estimate.high) {
        plane.bar(axis.place(low * factor), axis.place(high * factor), at, BAR, ink)?;
    }
    plane.dot((axis.place(estimate.value * factor), at), 4.0, ink)
}

fn ink_of(read_out: &ReadOut, arm: &str) -> Ink {
    let place = read_out.arms.iter().skip(1).position(|it| it.arm == arm);
    place.map_or(Ink::Baseline, |place| ARMS[place % ARMS.len()].0)
}

/// Returns the legend of the arms from `first` on; the control arm is 0.
fn legend(read_out: &ReadOut, first: usize) -> Vec<Key> {
    let class = |index: usize| index.checked_sub(1).map_or("baseline", |place| ARMS[place % ARMS.len()].1);
    let arms = read_out.arms.iter().enumerate().skip(first);
    arms.map(|(index, arm)| Key::new(class(index), arm.arm.clone())).collect()
}

fn moment(look: &Look) -> String {
    utc(look.until_us).unwrap_or_default()
}

/// How the click-through rate, and the revenue, differed up to each moment.
fn over_time(read_out: &ReadOut) -> Result<Vec<Panel>, ReportError> {
    let mut panels = Vec::new();
    for (metric, id, title) in [
        ("ctr", "experiment-ctr", "Experiment: click-through rate over time"),
        ("revenue_per_1000_impressions", "experiment-revenue", "Experiment: revenue over time"),
    ] {
        let Some(place) = read_out.metrics.iter().position(|it| it.metric == metric) else { continue };
        let of_looks: Vec<(&Look, &LookMetric)> =
            read_out.looks.iter().filter_map(|look| Some((look, look.metrics.get(place)?))).collect();
        let has_interval =
            |it: &LookMetric| it.relative.iter().flatten().any(|it| it.low.is_some() && it.high.is_some());
        if of_looks.iter().filter(|(_, it)| has_interval(it)).count() < 2 {
            continue;
        }
        let rows = of_looks.iter().flat_map(|(look, it)| {
            it.relative.iter().zip(&read_out.arms[1..]).map(|(relative, arm)| {
                let [value, interval] = texts(*relative, 100.0);
                [
                    format!("{}, {}", moment(look), arm.arm),
                    value,
                    interval,
                    or_dash(look.sample_ratio_p_value, |p| format!("{p:.3}")),
                ]
            })
        });
        let table = Table::new(["all rows before, arm", "relative, %", "interval, %", "p of the sample ratio"], rows);
        panels.push(Panel::Figure(Figure {
            id,
            title,
            caption: format!(
                "The relative difference from {} in all rows up to each moment, with intervals that hold at all \
                 moments together.",
                read_out.control
            ),
            legend: legend(read_out, 1),
            svg: draw_over_time(title, read_out, &of_looks)?,
            table,
        }));
    }
    Ok(panels)
}

fn draw_over_time(title: &str, read_out: &ReadOut, looks: &[(&Look, &LookMetric)]) -> Result<String, PlotError> {
    let with_interval = |arm: usize| {
        looks.iter().filter_map(move |(look, it)| {
            let estimate = it.relative.get(arm).copied().flatten()?;
            Some((look.until_us, [estimate.low? * 100.0, estimate.value * 100.0, estimate.high? * 100.0]))
        })
    };
    let arm_count = read_out.arms.len() - 1;
    // Early intervals are so wide that they would hide all others: those of the last three quarters fill the plot.
    let settled: Vec<f64> = (0..arm_count)
        .flat_map(|arm| {
            let points: Vec<_> = with_interval(arm).collect();
            points[points.len() / 4..].iter().flat_map(|(_, ends)| *ends).collect::<Vec<_>>()
        })
        .collect();
    let x = Axis::times(looks.iter().map(|(look, _)| look.until_us));
    let y = Axis::linear(settled.into_iter().chain([0.0]), false, with_decimals_of);
    let frame = Frame { title, x: (&x, "all rows before (UTC)"), y: (&y, "relative difference, %"), height: 300 };
    frame.draw(
        |_| Ok(()),
        |plane| {
            let zero = y.place(0.0);
            plane.line(&[(plane.x.start, zero), (plane.x.end, zero)], Ink::Reference, 1.5)?;
            for arm in 0..arm_count {
                let points: Vec<_> = with_interval(arm).collect();
                let ink = ARMS[arm % ARMS.len()].0;
                for (end, width) in [(0, 1.0), (2, 1.0), (1, 2.5)] {
                    let line: Vec<_> =
                        points.iter().map(|(at, ends)| (x.place(*at as f64), y.place(ends[end]))).collect();
                    plane.line(&line, ink, width)?;
                }
                if let Some((at, ends)) = points.last() {
                    plane.dot((x.place(*at as f64), y.place(ends[1])), 3.5, ink)?;
                }
            }
            Ok(())
        },
    )
}

/// The share of the units of each arm, up to each moment, and the planned one.
fn units(read_out: &ReadOut) -> Result<Panel, ReportError> {
    let title = "Experiment: units of the arms";
    let share = |look: &Look, arm: usize| {
        let all: u64 = look.units.iter().sum();
        (all > 0).then(|| look.units[arm] as f64 / all as f64 * 100.0)
    };
    let arm_count = read_out.arms.len();
    let shares = read_out.looks.iter().flat_map(|look| (0..arm_count).filter_map(move |arm| share(look, arm)));
    let planned_shares = read_out.arms.iter().filter_map(|arm| Some(arm.planned_share? * 100.0));
    let x = Axis::times(read_out.looks.iter().map(|look| look.until_us));
    let y = Axis::linear(shares.chain(planned_shares.clone()), false, with_decimals_of);
    let frame = Frame { title, x: (&x, "all rows before (UTC)"), y: (&y, "share of the units, %"), height: 260 };
    let svg = frame.draw(
        |_| Ok(()),
        |plane| {
            for share in planned_shares.clone() {
                plane.line(&[(plane.x.start, y.place(share)), (plane.x.end, y.place(share))], Ink::Reference, 1.5)?;
            }
            for arm in 0..arm_count {
                let place = |look: &Look| Some((x.place(look.until_us as f64), y.place(share(look, arm)?)));
                let points: Vec<_> = read_out.looks.iter().filter_map(place).collect();
                let ink = arm.checked_sub(1).map_or(Ink::Baseline, |place| ARMS[place % ARMS.len()].0);
                plane.line(&points, ink, 2.0)?;
                points.last().map_or(Ok(()), |point| plane.dot(*point, 3.0, ink))?;
            }
            Ok(())
        },
    )?;
    let rows = read_out.looks.iter().map(|look| {
        let units =
            read_out.arms.iter().zip(&look.units).map(|(arm, units)| format!("{} {}", arm.arm, grouped(*units)));
        [moment(look), units.collect::<Vec<_>>().join(", "), or_dash(look.sample_ratio_p_value, |p| format!("{p:.4}"))]
    });
    let verdict = match read_out.sample_ratio {
        Some(test) if test.passes() => format!("as planned (p = {:.3})", test.p_value),
        Some(test) => format!("WRONG (p = {:.1e}): no difference between the arms can be trusted", test.p_value),
        None => "not known, because the planned shares are not".to_owned(),
    };
    Ok(Panel::Figure(Figure {
        id: "experiment-units",
        title,
        caption: format!(
            "Each arm's share of the units up to each moment; planned shares are dashed. The ratio is {verdict}."
        ),
        legend: legend(read_out, 0),
        svg,
        table: Table::new(["all rows before", "units", "p of the sample ratio"], rows),
    }))
}

/// Returns the panel of what another weight file would have earned.
pub(in crate::judge::report) fn counterfactual(found: Option<&Counterfactual>) -> Result<Panel, ReportError> {
    let title = "What another file would have earned";
    let Some(found) = found else {
        return Ok(Panel::Absent(Absent { title, how: "--counterfactual FILE, of omomi counterfactual --json" }));
    };
    let Some(logged) = found.logged.filter(|_| found.blocked.is_empty()) else {
        return Ok(Panel::Absent(Absent {
            title,
            how: "a log that can tell; omomi counterfactual says what it takes",
        }));
    };
    let mut estimates = vec![("as served".to_owned(), logged, None)];
    let name = |method: &str| match method {
        "ips" => "inverse propensity (IPS)".to_owned(),
        "snips" => "self-normalized (SNIPS)".to_owned(),
        _ => "doubly robust".to_owned(),
    };
    estimates.extend(found.methods.iter().map(|it| (name(&it.method), it.value, Some(it.difference))));
    let ends = estimates.iter().flat_map(|(_, it, _)| [Some(it.value), it.low, it.high]).flatten();
    let axis = Axis::linear(ends, false, with_decimals_of);
    let names: Vec<(String, String)> = estimates
        .iter()
        .map(|(name, estimate, _)| {
            let [value, interval] = texts(Some(*estimate), 1.0);
            (name.clone(), format!("{value} ({interval})"))
        })
        .collect();
    let unit = found.currency.as_ref().map_or_else(String::new, |currency| format!(", {currency}"));
    let x_name = format!("{} per request{unit}", found.reward);
    let plot = Rows { title, x: (&axis, &x_name), reference: Some(logged.value), names: &names };
    let svg = plot.draw(
        |_| Ok(()),
        |plane, index, at| {
            let ink = if index == 0 { Ink::Baseline } else { Ink::Model };
            interval_row(plane, &axis, (estimates[index].1, 1.0), at, ink)
        },
    )?;
    let rows = estimates.iter().map(|(name, estimate, difference)| {
        let ([value, interval], [gap, range]) = (texts(Some(*estimate), 1.0), texts(*difference, 1.0));
        [name.clone(), value, interval, gap, range]
    });
    Ok(Panel::Figure(Figure {
        id: "counterfactual",
        title,
        caption: format!(
            "{}, generation {}, choosing {}: {} requests, effective sample size {:.0}, {:.1} % of the weight clipped.",
            found.weights.logic_id,
            found.weights.generation,
            found.policy,
            grouped(found.requests),
            found.effective_sample_size,
            found.clipped_weight_share * 100.0
        ),
        legend: vec![Key::new("baseline", "as served"), Key::new("model", "the other file")],
        svg,
        table: Table::new(["method", "mean", "interval", "difference", "interval"], rows),
    }))
}
