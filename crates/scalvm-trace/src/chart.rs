//! Miss ratios as curves, in SVG.

use std::fmt::Write;

use crate::Curve;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const MARGIN: f64 = 60.0;
const COLOURS: [&str; 4] = ["#444444", "#bbbbbb", "#cc6600", "#0066aa"];

/// Draws one curve for each policy over the sizes of memory, both axes from zero.
pub fn draw(title: &str, frames: &[u32], curves: &[Curve]) -> String {
    let most = frames.iter().max().copied().unwrap_or(1).max(1);
    let ratios = curves.iter().flat_map(|curve| &curve.ratios);
    let top = round_up(ratios.fold(0.0, |most, &ratio| ratio.max(most)));
    let x = |frames: f64| MARGIN + frames / f64::from(most) * (WIDTH - 2.0 * MARGIN);
    let y = |ratio: f64| HEIGHT - MARGIN - ratio / top * (HEIGHT - 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    let mut text = |x: f64, y: f64, anchor: &str, text: &str| {
        let text = escape(text);
        _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    };
    text(
        WIDTH / 2.0,
        24.0,
        "middle",
        &format!("{title}: misses in percent"),
    );
    text(WIDTH / 2.0, HEIGHT - 16.0, "middle", "pages of memory");
    for step in 0..=4 {
        let part = f64::from(step) / 4.0;
        let ratio = top * part;
        text(MARGIN - 8.0, y(ratio) + 4.0, "end", &format!("{ratio}"));
        let size = f64::from(most) * part;
        text(
            x(size),
            HEIGHT - MARGIN + 18.0,
            "middle",
            &format!("{size:.0}"),
        );
    }
    for (n, curve) in curves.iter().enumerate() {
        text(
            WIDTH - MARGIN - 70.0,
            MARGIN + 16.0 * n as f64,
            "start",
            curve.name,
        );
    }
    for step in 0..=4 {
        let level = y(top * f64::from(step) / 4.0);
        _ = writeln!(
            svg,
            "<path d=\"M{MARGIN} {level:.1}H{:.1}\" stroke=\"#dddddd\"/>",
            WIDTH - MARGIN
        );
    }
    for (n, curve) in curves.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let points: Vec<String> = (frames.iter().zip(&curve.ratios))
            .map(|(&frames, &ratio)| format!("{:.1},{:.1}", x(f64::from(frames)), y(ratio)))
            .collect();
        _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        for point in points {
            let (x, y) = point.split_once(',').unwrap_or_default();
            _ = writeln!(
                svg,
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"{colour}\"/>"
            );
        }
        let (left, level) = (WIDTH - MARGIN - 90.0, MARGIN + 16.0 * n as f64 - 4.0);
        _ = writeln!(
            svg,
            "<path d=\"M{left} {level}h14\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// The next of 1, 2, 4 and 10 times a power of ten.
fn round_up(ratio: f64) -> f64 {
    let mut top = 0.01;
    loop {
        for step in [1.0, 2.0, 4.0] {
            if top * step >= ratio {
                return top * step;
            }
        }
        top *= 10.0;
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_lies_where_its_ratios_say() {
        let curve = Curve {
            name: "OPT",
            ratios: vec![100.0, 50.0],
        };
        let svg = draw("a<b", &[50, 100], &[curve]);
        assert!(svg.contains("points=\"320.0,60.0 580.0,200.0\""), "{svg}");
        assert!(svg.contains("a&lt;b"));
        assert_eq!(svg.matches("<circle").count(), 2);
    }
}
