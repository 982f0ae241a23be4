//! The one measure of what somebody probably meant to write. Called by whoever says "did you
//! mean": `planner::diagnostic`, `sql`, `connectors`.

/// The candidate nearest to `name`, if near enough to be a typing mistake.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&lower, &c.to_lowercase()), c))
        .filter(|(distance, c)| {
            let longer = c.chars().count().max(lower.chars().count());
            *distance <= (longer / 3).max(1) && *distance < longer
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}
