//! The table of scripts: titles, where they are used, arguments. What routes list is read off it.

use crate::arguments::{Argument, Arguments, Kind};
use crate::{Base, Composition, Context, ScriptError, Tab};
use crate::{prompt_matrix, prompts_from_file, xyz};
use serde_json::Value;

/// Begins a script.
type Begin = fn(Arguments<'_>, Base, &mut Context<'_>) -> Result<Box<dyn Composition>, ScriptError>;

/// A script that a request can choose.
#[derive(Debug)]
pub struct Script {
    /// A1111's title.
    pub title: &'static str,
    /// Whether it is for pictures from pictures only.
    pub needs_picture: bool,
    /// Its arguments, in order.
    pub arguments: &'static [Argument],
    begin: Begin,
}

const fn flag(label: &'static str, value: bool) -> Argument {
    Argument { label, kind: Kind::Flag(value) }
}

const fn text(label: &'static str) -> Argument {
    Argument { label, kind: Kind::Text("") }
}

const fn choice(label: &'static str, value: &'static str, choices: &'static [&'static str]) -> Argument {
    Argument { label, kind: Kind::Choice(value, choices) }
}

const fn axis(labels: [&'static str; 3], value: &'static str) -> [Argument; 3] {
    let [kind, values, list] = labels;
    [
        Argument { label: kind, kind: Kind::Axis(value) },
        text(values),
        Argument { label: list, kind: Kind::Values },
    ]
}

const MARGIN: Argument = Argument { label: "Grid margins (px)", kind: Kind::Whole(0, [0, 500, 2], [0, 500]) };

const PROMPT_MATRIX: [Argument; 5] = [
    flag("Put variable parts at start of prompt", false),
    flag("Use different seed for each picture", false),
    choice("Select prompt", "positive", &["positive", "negative"]),
    choice("Select joining char", "comma", &["comma", "space"]),
    MARGIN,
];

const PROMPTS_FROM_FILE: [Argument; 5] = [
    flag("Iterate seed every line", false),
    flag("Use same random seed for all lines", false),
    choice("Insert prompts at the", "start", &["start", "end"]),
    text("List of prompt inputs"),
    Argument { label: "Upload prompt inputs", kind: Kind::Note },
];

const XYZ: [Argument; 18] = {
    let [x_type, x_values, x_list] = axis(["X type", "X values", "X values"], "Seed");
    let [y_type, y_values, y_list] = axis(["Y type", "Y values", "Y values"], "Nothing");
    let [z_type, z_values, z_list] = axis(["Z type", "Z values", "Z values"], "Nothing");
    [
        x_type,
        x_values,
        x_list,
        y_type,
        y_values,
        y_list,
        z_type,
        z_values,
        z_list,
        flag("Draw legend", true),
        flag("Include Sub Images", false),
        flag("Include Sub Grids", false),
        flag("Keep -1 for seeds", false),
        flag("Vary seeds for X", false),
        flag("Vary seeds for Y", false),
        flag("Vary seeds for Z", false),
        MARGIN,
        flag("Use text inputs instead of dropdowns", false),
    ]
};

/// Every script, in A1111's order.
pub const SCRIPTS: &[Script] = &[
    Script {
        title: "Prompt matrix",
        needs_picture: false,
        arguments: &PROMPT_MATRIX,
        begin: prompt_matrix::begin,
    },
    Script {
        title: "Prompts from file or textbox",
        needs_picture: false,
        arguments: &PROMPTS_FROM_FILE,
        begin: prompts_from_file::begin,
    },
    Script { title: "X/Y/Z plot", needs_picture: false, arguments: &XYZ, begin: xyz::begin },
];

/// A1111's scripts that are left out, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("Custom code", "it runs code that a client sends"),
    (
        "img2img alternative test",
        "it runs samplers backwards to guess the noise of a picture, which is not there yet",
    ),
];

impl Script {
    /// Whether requests of a kind can choose it.
    pub fn is_for(&self, tab: Tab) -> bool {
        tab == Tab::Picture || !self.needs_picture
    }

    /// The script of a name, in capitals or not.
    pub fn find(name: &str, tab: Tab) -> Result<&'static Self, ScriptError> {
        let is_it = |title: &str| title.to_lowercase() == name.to_lowercase();
        if let Some((script, why)) = LEFT_OUT.iter().find(|(title, _)| is_it(title)) {
            return Err(ScriptError::NotOffered { script, why });
        }
        SCRIPTS
            .iter()
            .find(|script| is_it(script.title) && script.is_for(tab))
            .ok_or_else(|| ScriptError::NotFound(name.to_owned()))
    }

    /// Begins it with the arguments that a client sent, in order. Refuses what it cannot do, and more pictures than a request may
    /// ask for, before anything is painted.
    pub fn begin(
        &'static self,
        arguments: &[Value],
        base: Base,
        context: &mut Context<'_>,
    ) -> Result<Box<dyn Composition>, ScriptError> {
        let arguments = Arguments::new(self.title, self.arguments, arguments)?;
        (self.begin)(arguments, base, context)
    }
}

/// Refuses more pictures than one request may ask for.
pub(crate) fn check_count(pictures: u64, most: u32) -> Result<(), ScriptError> {
    if pictures <= u64::from(most) {
        return Ok(());
    }
    Err(ScriptError::Request(impasto_domain::RequestError {
        field: "script_args",
        value: pictures.to_string(),
        problem: format!("pictures are too many: at most {most} are made by one request (max_images)"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_found_by_their_titles() {
        for script in SCRIPTS {
            assert_eq!(Script::find(&script.title.to_uppercase(), Tab::Picture).unwrap().title, script.title);
            assert_eq!(Script::find(script.title, Tab::Text).is_ok(), !script.needs_picture);
        }
        assert_eq!(Script::find("x", Tab::Text).unwrap_err().to_string(), "Script 'x' not found");
        assert_eq!(
            Script::find("custom code", Tab::Text).unwrap_err().to_string(),
            "Custom code is not offered: it runs code that a client sends"
        );
    }
}
