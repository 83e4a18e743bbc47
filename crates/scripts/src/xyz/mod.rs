//! X/Y/Z plot: a grid of pictures in which each axis changes one thing of the request.
//!
//! Axes whose changes are costly, such as another model, change last, so that what is loaded is used for all that needs it.

pub(crate) mod axes;
mod values;

use crate::ScriptError;
use crate::arguments::Arguments;
use crate::base::{Base, Context, Look};
use crate::composition::{Answer, Ask, Composition, Made, Piece, PieceKind, Placed, outcomes};
use crate::table::check_count;
use axes::{Axis, AxisValue};
use impasto_domain::with_parameters;
use impasto_imaging::{Label, Rgb};
use serde_json::Value;
use std::borrow::Cow;

/// The script's name, and what names of its files begin with.
const TITLE: &str = "X/Y/Z plot";
const GRID: PieceKind = PieceKind::Grid("xyz_grid");

/// One axis with its values.
#[derive(Clone)]
struct Edge {
    axis: &'static Axis,
    values: Vec<AxisValue>,
    /// The values as they were sent.
    written: String,
    /// Whether each place along it has seeds of its own.
    varies: bool,
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge")
            .field("axis", &self.axis.label)
            .field("values", &self.values)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Plot {
    base: Base,
    look: Look,
    edges: [Edge; 3],
    legend: bool,
    lone_images: bool,
    sub_grids: bool,
    fixed_seeds: bool,
    margin: u32,
    /// Places of the cells in the order in which they are painted.
    order: std::vec::IntoIter<[usize; 3]>,
    /// The cell at work, and how many requests were asked for before it.
    at_work: Option<[usize; 3]>,
    asked: usize,
    /// Pictures of each cell, x fastest, then y, then z.
    cells: Vec<Vec<Placed>>,
    problems: Vec<String>,
}

/// Begins it.
pub(crate) fn begin(
    arguments: Arguments<'_>,
    mut base: Base,
    context: &mut Context<'_>,
) -> Result<Box<dyn Composition>, ScriptError> {
    let fixed_seeds = !arguments.flag(12)?;
    let csv = arguments.flag(17)?;
    let mut edges = [
        edge(&arguments, 0, csv, context)?,
        edge(&arguments, 3, csv, context)?,
        edge(&arguments, 6, csv, context)?,
    ];
    for (at, edge) in edges.iter_mut().enumerate() {
        edge.varies = arguments.flag(13 + at)?;
    }
    if !context.look.return_grid {
        base = base.of_picture(0);
        base.request.batch_size = 1;
    }
    if fixed_seeds {
        context.fix_seeds(&mut base.request);
        for edge in edges.iter_mut().filter(|edge| edge.axis.is_seed()) {
            for value in &mut edge.values {
                if *value == AxisValue::Whole(-1) {
                    *value = AxisValue::Whole(context.seed() as i64);
                }
            }
        }
    }
    let count: usize = edges.iter().map(|edge| edge.values.len()).fold(1, usize::saturating_mul);
    let pictures = (count as u64).saturating_mul(base.request.image_count().into());
    check_count(pictures, context.limits.max_images)?;
    let order = order(&edges);
    let plot = Plot {
        legend: arguments.flag(9)?,
        lone_images: arguments.flag(10)?,
        sub_grids: arguments.flag(11)?,
        fixed_seeds,
        margin: arguments.pixels(16)?,
        order: order.clone().into_iter(),
        at_work: None,
        asked: 0,
        cells: vec![Vec::new(); count],
        problems: Vec::new(),
        look: context.look.clone(),
        base,
        edges,
    };
    plot.check(&order, context)?;
    Ok(Box::new(plot))
}

/// The axis whose three arguments begin at a place.
fn edge(arguments: &Arguments<'_>, at: usize, csv: bool, context: &Context<'_>) -> Result<Edge, ScriptError> {
    let usual = if at == 0 { "Seed" } else { "Nothing" };
    let mut axes = axes::of_tab(context.tab);
    let axis = match arguments.raw(at) {
        None => axes.find(|axis| axis.label == usual),
        Some(Value::Number(place)) => place.as_u64().and_then(|place| axes.nth(place as usize)),
        Some(Value::String(name)) => {
            let place = name.trim().parse().ok();
            let by_name =
                axes::of_tab(context.tab).find(|axis| axis.label.to_lowercase() == name.to_lowercase());
            by_name.or_else(|| place.and_then(|place| axes.nth(place)))
        }
        Some(_) => None,
    };
    let most = axes::of_tab(context.tab).count() - 1;
    let axis = axis.ok_or_else(|| {
        arguments.wrong(at, format!("is no axis: names are known, and places from 0 to {most}"))
    })?;
    let written = arguments.text(at + 1)?;
    let listed = if csv || !axis.has_choices() { Vec::new() } else { listed(arguments, at + 2)? };
    let (texts, written) = if listed.is_empty() {
        (axes::texts(&written), written)
    } else {
        let written = values::joined(&listed);
        (listed, written)
    };
    let most = context.limits.max_images as usize;
    let values = axis.values(texts, most, context).map_err(|problem| {
        // A name that nobody knows is told in A1111's words.
        if problem.starts_with("Unknown ") {
            ScriptError::Unusable(problem)
        } else {
            arguments.wrong_value(at + 1, Value::from(written.as_str()), problem)
        }
    })?;
    Ok(Edge { axis, values, written, varies: false })
}

/// Values that were chosen from a list.
fn listed(arguments: &Arguments<'_>, at: usize) -> Result<Vec<String>, ScriptError> {
    match arguments.raw(at) {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(axes::texts(text)),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| match value {
                Value::String(text) => Ok(text.clone()),
                Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
                _ => Err(arguments.wrong(at, "has to be a list of texts")),
            })
            .collect(),
        Some(_) => Err(arguments.wrong(at, "has to be a list of texts")),
    }
}

/// The cells in the order in which they are painted: the costliest axis changes last; of equal ones z does, then y.
fn order(edges: &[Edge; 3]) -> Vec<[usize; 3]> {
    let mut by_cost = [2, 1, 0];
    by_cost.sort_by(|&one, &other| edges[other].axis.cost.total_cmp(&edges[one].axis.cost));
    let [outer, middle, inner] = by_cost;
    let mut order = Vec::new();
    for a in 0..edges[outer].values.len() {
        for b in 0..edges[middle].values.len() {
            for c in 0..edges[inner].values.len() {
                let mut cell = [0; 3];
                (cell[outer], cell[middle], cell[inner]) = (a, b, c);
                order.push(cell);
            }
        }
    }
    order
}

impl Plot {
    /// The request of a cell.
    fn cell(&self, base: &Base, cell: [usize; 3]) -> Result<Base, ScriptError> {
        let mut made = base.clone();
        for (edge, at) in self.edges.iter().zip(cell) {
            edge.axis.set(&mut made, &edge.values[at], &edge.values)?;
        }
        let mut stride = 1;
        for (edge, at) in self.edges.iter().zip(cell) {
            if edge.varies {
                let step = (at * stride) as u64;
                made.request.seed = made.request.seed.map(|seed| seed.wrapping_add(step));
                stride *= edge.values.len();
            }
        }
        Ok(made)
    }

    /// Refuses what any of the cells cannot be, before the first is painted.
    fn check(&self, order: &[[usize; 3]], context: &Context<'_>) -> Result<(), ScriptError> {
        let light = self.base.light();
        let (mut width, mut height) = (0, 0);
        for &cell in order {
            let cell = self.cell(&light, cell)?;
            cell.check(&context.limits)?;
            (width, height) = (cell.size().0.max(width), cell.size().1.max(height));
        }
        let (request, pictures) =
            (&light.request, order.len() as u64 * u64::from(light.request.image_count()));
        let largest =
            impasto_domain::GenerationRequest { width: Some(width), height: Some(height), ..request.clone() };
        context.look.check(pictures, &largest)
    }

    fn place(&self, [x, y, z]: [usize; 3]) -> usize {
        let [xs, ys, _] = self.counts();
        x + xs * (y + ys * z)
    }

    fn counts(&self) -> [usize; 3] {
        [0, 1, 2].map(|at| self.edges[at].values.len())
    }

    /// What stands beside the places along an axis.
    fn labels(&self, at: usize) -> Vec<Vec<Label>> {
        let edge = &self.edges[at];
        edge.values.iter().map(|value| vec![Label::new(edge.axis.legend(value))]).collect()
    }

    /// What a cell shows: its picture, all of them if there are several, or black.
    fn shown(&self, cell: &[Placed], black: &Rgb) -> Result<Rgb, ScriptError> {
        match cell {
            [] => Ok(black.clone()),
            [one] => Ok((*one.painted.picture).clone()),
            several => {
                let pictures: Vec<&Rgb> = several.iter().map(|placed| &*placed.painted.picture).collect();
                self.look.usual_grid(&pictures, self.base.request.batch_size)
            }
        }
    }

    /// What an infotext of a grid says of the axes up to one.
    fn parameters(&self, up_to: usize) -> Vec<(String, String)> {
        let mut told = vec![("Script".to_owned(), TITLE.to_owned())];
        for (name, edge) in ["X", "Y", "Z"].into_iter().zip(&self.edges).take(up_to) {
            if edge.axis.is_nothing() {
                continue;
            }
            told.push((format!("{name} Type"), edge.axis.label.to_owned()));
            told.push((format!("{name} Values"), edge.written.clone()));
            if edge.axis.is_seed() && self.fixed_seeds {
                let seeds: Vec<String> = edge.values.iter().map(AxisValue::written).collect();
                told.push((format!("Fixed {name} Values"), seeds.join(", ")));
            }
        }
        told
    }

    /// The grid of one place along z, and the size of its cells with the legend.
    fn sub_grid(&self, z: usize, black: &Rgb) -> Result<Rgb, ScriptError> {
        let [xs, ys, _] = self.counts();
        let cells = &self.cells[z * xs * ys..(z + 1) * xs * ys];
        let shown: Vec<Rgb> = cells.iter().map(|cell| self.shown(cell, black)).collect::<Result<_, _>>()?;
        let grid = self.look.grid(&shown.iter().collect::<Vec<_>>(), ys)?;
        self.with_legend(grid, &shown, (&self.labels(0), &self.labels(1)), self.margin)
    }

    fn with_legend(
        &self,
        grid: Rgb,
        cells: &[Rgb],
        labels: (&[Vec<Label>], &[Vec<Label>]),
        margin: u32,
    ) -> Result<Rgb, ScriptError> {
        if !self.legend {
            return Ok(grid);
        }
        let largest = |side: fn(&Rgb) -> u32| cells.iter().map(side).max().unwrap_or(1);
        self.look.annotated(&grid, (largest(Rgb::width), largest(Rgb::height)), labels, margin)
    }
}

impl Composition for Plot {
    fn batches(&self) -> u32 {
        (self.cells.len() as u32).saturating_mul(self.base.request.batch_count)
    }

    fn next(&mut self) -> Result<Ask, ScriptError> {
        self.at_work = self.order.next();
        match self.at_work {
            Some(cell) => Ok(Ask::Generate(vec![self.cell(&self.base, cell)?.complete()?])),
            None => Ok(Ask::Nothing),
        }
    }

    fn take(&mut self, answer: Answer) -> Result<(), ScriptError> {
        for outcome in outcomes(answer) {
            self.problems.extend(outcome.problem.clone());
            if let Some(cell) = self.at_work.take() {
                let place = self.place(cell);
                self.cells[place] = Placed::all(outcome, self.asked);
            }
            self.asked += 1;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Made, ScriptError> {
        let comments = std::mem::take(&mut self.problems);
        let Some(first) = self.cells.iter().flatten().next() else {
            return Ok(Made { pieces: Vec::new(), comments });
        };
        let size = first.painted.picture.size();
        let black = Rgb::filled(size.0, size.1, [0; 3])?;
        let [xs, ys, zs] = self.counts();
        let grids: Vec<Rgb> = (0..zs).map(|z| self.sub_grid(z, &black)).collect::<Result<_, _>>()?;
        let whole = match grids.as_slice() {
            [one] => Cow::Borrowed(one),
            several => {
                let grid = self.look.grid(&several.iter().collect::<Vec<_>>(), 1)?;
                let nothing = [vec![Label::new("")]];
                Cow::Owned(self.with_legend(grid, several, (&self.labels(2), &nothing), 0)?)
            }
        };
        let told = |of: &Placed, picture: Rgb, up_to: usize| {
            let piece = of.with(picture, GRID);
            Piece { infotext: with_parameters(&piece.infotext, &self.parameters(up_to)), ..piece }
        };
        let mut pieces = vec![told(first, whole.into_owned(), 3)];
        if self.sub_grids {
            for (cells, grid) in self.cells.chunks(xs * ys).zip(grids) {
                let of = cells.iter().flatten().next().unwrap_or(first);
                // The only sub grid is the grid.
                pieces.push(Piece { saved: zs > 1, ..told(of, grid, 2) });
            }
        }
        let cells = self.cells.iter().flatten();
        pieces.extend(cells.map(|placed| Piece { shown: self.lone_images, ..placed.piece() }));
        Ok(Made { pieces, comments })
    }
}

#[cfg(test)]
mod tests;
