//! The table of scripts: titles, where they are used, arguments. What routes list is read off it.

use crate::arguments::{Argument, Arguments, Kind};
use crate::loopback::{self, CURVES};
use crate::outpainting::poor_mans::CONTENTS;
use crate::outpainting::{self, DIRECTIONS};
use crate::{Base, Composition, Context, Names, ScriptError, Tab};
use crate::{prompt_matrix, prompts_from_file, sd_upscale, xyz};
use serde_json::{Map, Value};

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

const fn whole(label: &'static str, value: i64, slider: [i64; 3], allowed: [i64; 2]) -> Argument {
    Argument { label, kind: Kind::Whole(value, slider, allowed) }
}

/// A number that takes what A1111's slider has.
const fn share(label: &'static str, value: f64, slider: [f64; 3]) -> Argument {
    Argument { label, kind: Kind::Real(value, slider, [slider[0], slider[1]]) }
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

const NOTE: Argument = Argument { label: "", kind: Kind::Note };

const DIRECTION: Argument =
    Argument { label: "Outpainting direction", kind: Kind::Choices(DIRECTIONS, DIRECTIONS) };

const LOOPBACK: [Argument; 4] = [
    whole("Loops", 4, [1, 32, 1], [1, 1000]),
    share("Final denoising strength", 0.5, [0.0, 1.0, 0.01]),
    choice("Denoising strength curve", "Linear", CURVES),
    choice("Append interrogated prompt at each iteration", "None", &["None", "CLIP", "DeepBooru"]),
];

const OUTPAINTING_MK2: [Argument; 6] = [
    NOTE,
    whole("Pixels to expand", 128, [8, 256, 8], [1, 4096]),
    whole("Mask blur", 8, [0, 64, 1], [0, 64]),
    DIRECTION,
    share("Fall-off exponent (lower=higher detail)", 1.0, [0.0, 4.0, 0.01]),
    share("Color variation", 0.05, [0.0, 1.0, 0.01]),
];

const POOR_MANS_OUTPAINTING: [Argument; 4] = [
    whole("Pixels to expand", 128, [8, 256, 8], [1, 4096]),
    whole("Mask blur", 4, [0, 64, 1], [0, 64]),
    choice("Masked content", "fill", CONTENTS),
    DIRECTION,
];

const SD_UPSCALE: [Argument; 4] = [
    NOTE,
    whole("Tile overlap", 64, [0, 256, 16], [0, 2048]),
    Argument { label: "Upscaler", kind: Kind::Upscaler },
    Argument { label: "Scale Factor", kind: Kind::Real(2.0, [1.0, 4.0, 0.05], [1.0, 8.0]) },
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
    Script { title: "Loopback", needs_picture: true, arguments: &LOOPBACK, begin: loopback::begin },
    Script {
        title: "Outpainting mk2",
        needs_picture: true,
        arguments: &OUTPAINTING_MK2,
        begin: outpainting::mk2::begin,
    },
    Script {
        title: "Poor man's outpainting",
        needs_picture: true,
        arguments: &POOR_MANS_OUTPAINTING,
        begin: outpainting::poor_mans::begin,
    },
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
    Script { title: "SD upscale", needs_picture: true, arguments: &SD_UPSCALE, begin: sd_upscale::begin },
    Script { title: "X/Y/Z plot", needs_picture: false, arguments: &XYZ, begin: xyz::begin },
];

/// A script that is always on. Only the arguments of soft inpainting do anything: the others are fields of requests, options, or
/// both, and A1111 ignores their arguments here, too.
#[derive(Debug)]
pub struct AlwaysOn {
    /// A1111's title.
    pub title: &'static str,
    /// Whether it is for pictures from pictures only.
    pub needs_picture: bool,
    /// Its arguments, in order.
    pub arguments: &'static [Argument],
}

/// Title of the script that softens seams.
pub const SOFT_INPAINTING: &str = "Soft Inpainting";

const SOFT: [Argument; 7] = [
    flag("Soft inpainting", false),
    share("Schedule bias", 1.0, [0.0, 8.0, 0.1]),
    share("Preservation strength", 0.5, [0.0, 8.0, 0.05]),
    share("Transition contrast boost", 4.0, [1.0, 32.0, 0.5]),
    share("Mask influence", 0.0, [0.0, 1.0, 0.05]),
    share("Difference threshold", 0.5, [0.0, 8.0, 0.25]),
    share("Difference contrast", 2.0, [0.0, 8.0, 0.25]),
];

/// Every script that is always on, in A1111's order.
pub const ALWAYS_ON: &[AlwaysOn] = &[
    AlwaysOn { title: "Comments", needs_picture: false, arguments: &[] },
    AlwaysOn { title: "Extra options", needs_picture: false, arguments: &[] },
    AlwaysOn { title: "Hypertile", needs_picture: false, arguments: &[] },
    AlwaysOn {
        title: "Refiner",
        needs_picture: false,
        arguments: &[
            flag("Refiner", false),
            Argument { label: "Checkpoint", kind: Kind::Model },
            share("Switch at", 0.8, [0.01, 1.0, 0.01]),
        ],
    },
    AlwaysOn {
        title: "Sampler",
        needs_picture: false,
        arguments: &[
            whole("Sampling steps", 20, [1, 150, 1], [1, 1000]),
            Argument { label: "Sampling method", kind: Kind::Sampler },
            Argument { label: "Schedule type", kind: Kind::Schedule },
        ],
    },
    AlwaysOn {
        title: "Seed",
        needs_picture: false,
        arguments: &[
            whole("Seed", -1, [-1, i64::MAX, 1], [-1, i64::MAX]),
            flag("Extra", false),
            whole("Variation seed", -1, [-1, i64::MAX, 1], [-1, i64::MAX]),
            share("Variation strength", 0.0, [0.0, 1.0, 0.01]),
            whole("Resize seed from width", 0, [0, 2048, 8], [0, 1 << 16]),
            whole("Resize seed from height", 0, [0, 2048, 8], [0, 1 << 16]),
        ],
    },
    AlwaysOn { title: SOFT_INPAINTING, needs_picture: true, arguments: &SOFT },
];

/// Titles in small letters, as A1111's interface lists them: scripts that are always on, then those to choose.
pub fn titles(tab: Tab) -> Vec<String> {
    let is_for = |needs_picture: bool| tab == Tab::Picture || !needs_picture;
    let always = ALWAYS_ON.iter().filter(|script| is_for(script.needs_picture)).map(|script| script.title);
    let chosen = SCRIPTS.iter().filter(|script| is_for(script.needs_picture)).map(|script| script.title);
    always.chain(chosen).map(str::to_lowercase).collect()
}

/// What is told of a script.
#[derive(Debug, Clone)]
pub struct ScriptFacts {
    /// Its title in small letters.
    pub name: String,
    /// Whether it is always on.
    pub is_always_on: bool,
    /// The kind of request that this is told for.
    pub tab: Tab,
    /// Its arguments.
    pub arguments: Vec<Map<String, Value>>,
}

/// What is told of all scripts: of each once for each kind of request that has it.
pub fn facts(names: &dyn Names) -> Vec<ScriptFacts> {
    let info = |title: &str, is_always_on: bool, tab: Tab, arguments: &[Argument]| ScriptFacts {
        name: title.to_lowercase(),
        is_always_on,
        tab,
        arguments: arguments.iter().map(|argument| argument.info(tab, names)).collect(),
    };
    let mut infos = Vec::new();
    for tab in [Tab::Text, Tab::Picture] {
        let is_for = |needs_picture: bool| tab == Tab::Picture || !needs_picture;
        let always = ALWAYS_ON.iter().filter(|script| is_for(script.needs_picture));
        infos.extend(always.map(|script| info(script.title, true, tab, script.arguments)));
        let chosen = SCRIPTS.iter().filter(|script| is_for(script.needs_picture));
        infos.extend(chosen.map(|script| info(script.title, false, tab, script.arguments)));
    }
    infos
}

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
