//! The panel: pages of HTML that the gateway serves, with htmx for what changes on them. Nothing is built beforehand, and
//! all works without scripts but what is live.
//!
//! One file per page; `templates/` has their HTML, `locales/` their words, `assets/` style sheet and script.

pub mod assets;
pub mod dress;
pub mod language;
pub mod layout;
