//! `streamctl sql`: statements typed at a prompt, or from `-e`, a file or standard input, in
//! one session. Definitions stay in the session; queries and INSERTs become jobs, on a
//! cluster or in this process. Called by `commands::sql`.

mod editor;
mod results;
mod rows;
mod session;
mod statements;
mod target;

use std::io::IsTerminal;
use std::ops::Range;

use jobfile::{Diagnostics, Scripted};
use planner::sql::SqlAnswer;

use crate::arguments::{RowFormat, SqlArguments};
use crate::commands::interrupted;
use crate::composition::{JobFile, JobFilePlanner};
use crate::exit::{Exit, Failure};
use crate::output::{plain, say, table, time};
use crate::settings::Settings;
use editor::{Prompt, Typed};
use results::Outcome;
use rows::{Mode, View};
use session::Session;
use statements::Kind;
use target::Target;

/// Takes the rows of a query.
const RESULTS: &str = "results";
/// Of a query's job: its rows go to one reader once, so there is nothing to repeat.
const QUERY_SETTINGS: &str = "SET 'weir.preview' = 'results';\n\
    SET 'restart-strategy.type' = 'none';\nSET 'execution.checkpointing.interval' = '0';\n";
const HELP: &str = "\
Statements end with a semicolon and may go over several lines.
  CREATE TABLE | VIEW ..., DROP ...     what this session knows
  SELECT ...                            runs, and shows its rows; Ctrl-C ends it
  INSERT INTO ..., EXECUTE STATEMENT SET BEGIN ... END    starts a job
  EXPLAIN [CHANGELOG_MODE | ESTIMATED_COST] ...           what a statement becomes
  SHOW TABLES | VIEWS | FUNCTIONS | CREATE TABLE t | JOBS, DESCRIBE t
  SET ['key' = 'value'], RESET ['key']  settings; 'sql-client.execution.result-mode' is
                                        table, changelog or tableau
  HELP, CLEAR, QUIT";

/// Runs until the text ends or the user has enough.
///
/// # Errors
/// The first statement that fails, unless a person sits at the prompt.
pub async fn run(arguments: SqlArguments, settings: &Settings) -> Result<Exit, Failure> {
    let target = Target::new(&arguments, settings)?;
    let piped = !std::io::stdin().is_terminal();
    let input = match (&arguments.execute, &arguments.file) {
        (Some(text), _) => Some(("<command line>".to_owned(), text.clone())),
        (None, Some(path)) => JobFile::read(path).map(|f| Some((f.name, f.text)))?,
        (None, None) if piped => JobFile::read("-".as_ref()).map(|f| Some((f.name, f.text)))?,
        (None, None) => None,
    };
    let mut shell = Shell {
        session: Session::default(),
        planner: JobFilePlanner::new(),
        target,
        format: arguments.output,
        interactive: input.is_none(),
        size: (24, 80),
        columns: Vec::new(),
    };
    let done = match input {
        Some((name, text)) => shell.script(&name, &text).await,
        None => shell.prompt().await,
    };
    let stopped = shell.target.shutdown().await;
    done.and_then(|exit| stopped.map(|()| exit))
}

/// A statement and where it stands.
struct Place<'a> {
    file: &'a str,
    text: &'a str,
    at: Range<usize>,
}

impl Place<'_> {
    fn statement(&self) -> &str {
        &self.text[self.at.clone()]
    }

    /// The statement at its line and column, without what is before.
    fn in_place(&self) -> String {
        let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
        let mut out: String = self.text[..self.at.start].chars().map(blank).collect();
        out.push_str(self.statement());
        out
    }
}

/// What is to be done next.
enum Next {
    Go,
    Quit,
    /// Ctrl-C during a statement.
    Interrupted,
}

struct Shell {
    session: Session,
    planner: JobFilePlanner,
    target: Target,
    format: Option<RowFormat>,
    interactive: bool,
    /// Lines and characters of the terminal.
    size: (usize, usize),
    /// Columns of what was created, for completion.
    columns: Vec<(String, Vec<String>)>,
}

impl Shell {
    async fn script(&mut self, file: &str, text: &str) -> Result<Exit, Failure> {
        let mut found = statements::split(text);
        // The last one needs no semicolon.
        found.statements.extend(found.open.map(|from| from..text.len()));
        for at in found.statements {
            match self.statement(&Place { file, text, at }).await? {
                Next::Go => {}
                Next::Quit => break,
                Next::Interrupted => return Ok(Exit::Interrupted),
            }
        }
        Ok(Exit::Ok)
    }

    async fn prompt(&mut self) -> Result<Exit, Failure> {
        let mut prompt = Prompt::open(sql::function_names())?;
        println!("Weir SQL. Statements end with a semicolon; HELP; lists them, QUIT; leaves.");
        loop {
            self.size = prompt.size();
            let text = match prompt.read()? {
                Typed::Text(text) => text,
                Typed::Again => continue,
                Typed::End => break,
            };
            let mut found = statements::split(&text);
            found.statements.extend(found.open.map(|from| from..text.len()));
            let mut quit = false;
            for at in found.statements {
                match self.statement(&Place { file: "sql", text: &text, at }).await {
                    Ok(Next::Go) => continue,
                    Ok(Next::Quit) => quit = true,
                    Ok(Next::Interrupted) => {}
                    Err(failure) => failure.print(),
                }
                break;
            }
            let names = self.columns.iter().flat_map(|(name, columns)| {
                std::iter::once(name.clone()).chain(columns.iter().cloned())
            });
            prompt.know(names.collect());
            if quit {
                break;
            }
        }
        prompt.save();
        Ok(Exit::Ok)
    }

    async fn statement(&mut self, place: &Place<'_>) -> Result<Next, Failure> {
        match statements::kind(place.statement()) {
            Kind::Define => self.define(place).await,
            Kind::Insert => self.insert(place).await,
            Kind::Query => self.query(place).await,
            Kind::Set => self.set(place),
            Kind::Reset => self.reset(place),
            Kind::Ask => {
                let planned = self.planned(place, "", None)?;
                planned.answers.iter().for_each(show);
                Ok(Next::Go)
            }
            Kind::ShowJobs => self.show_jobs().await,
            Kind::ShowFunctions => {
                let rows = sql::function_names().into_iter().map(|name| vec![name]).collect();
                show(&SqlAnswer { columns: vec!["function name".to_owned()], rows });
                Ok(Next::Go)
            }
            Kind::ShowCreate(name) => match self.session.definition(&name) {
                Some(text) => {
                    say(text);
                    Ok(Next::Go)
                }
                None => {
                    // The planner knows what is near.
                    let text = format!("DESCRIBE `{}`", name.replace('`', "``"));
                    let at = 0..text.len();
                    self.planned(&Place { file: place.file, text: &text, at }, "", None)?;
                    Ok(Next::Go)
                }
            },
            Kind::Help => {
                say(HELP);
                Ok(Next::Go)
            }
            Kind::Clear => {
                print!("\x1b[H\x1b[2J");
                Ok(Next::Go)
            }
            Kind::Quit => Ok(Next::Quit),
        }
    }

    /// The statement behind all that the session knows, with the mistakes at its own places.
    fn planned(
        &self,
        place: &Place<'_>,
        more: &str,
        preview: Option<&str>,
    ) -> Result<Scripted, Failure> {
        let before = self.session.script();
        let text = format!("{before}{}\n;{more}", place.in_place());
        let lines = before.matches('\n').count();
        let moved = |items: Vec<jobfile::Diagnostic>| {
            let items = items.into_iter().filter(|d| d.line > lines).map(|mut d| {
                d.line -= lines;
                d
            });
            Diagnostics { file: place.file.to_owned(), items: items.collect() }
        };
        match self.planner.plan_script(place.file, &text, preview) {
            Ok(mut planned) => {
                let doubts = moved(std::mem::take(&mut planned.warnings));
                if !doubts.items.is_empty() {
                    eprintln!("{doubts}");
                }
                Ok(planned)
            }
            Err(found) => {
                let own = moved(found.items.clone());
                // About an earlier statement that this one brought to light.
                let shown = if own.items.is_empty() { found } else { own };
                Err(Failure::rendered(Exit::Config, shown.to_string()))
            }
        }
    }

    /// What a job manager is to run.
    fn text_of(&self, place: &Place<'_>, more: &str) -> String {
        format!("{}{}\n;\n{more}", self.session.script(), place.statement())
    }

    async fn define(&mut self, place: &Place<'_>) -> Result<Next, Failure> {
        let statement = place.statement();
        let name = statements::object_name(statement).map(|(name, _)| name).unwrap_or_default();
        let is = |word: &str| {
            statements::words(statement).iter().take(4).any(|w| w.text.eq_ignore_ascii_case(word))
        };
        let described = is("CREATE") && (is("TABLE") || is("VIEW"));
        let question = match described {
            true => format!("DESCRIBE `{}`;", name.replace('`', "``")),
            false => "SHOW TABLES;".to_owned(),
        };
        let planned = self.planned(place, &question, None)?;
        let columns = planned.answers.last().filter(|_| described);
        let next = match (&planned.graph, columns) {
            // CREATE TABLE ... AS SELECT: a job, and a table that stays.
            (Some(_), Some(columns)) => {
                let next = self.start(place, &format!("create-{name}")).await?;
                self.session.define(&name, &without_query(statement, columns));
                next
            }
            _ => {
                self.session.define(&name, statement);
                Next::Go
            }
        };
        self.columns
            .retain(|(known, _)| self.session.names().any(|n| n == known) && *known != name);
        if let Some(columns) = columns {
            let columns = columns.rows.iter().filter_map(|row| row.first().cloned());
            self.columns.push((name, columns.collect()));
        }
        self.say("done");
        Ok(next)
    }

    async fn insert(&mut self, place: &Place<'_>) -> Result<Next, Failure> {
        let words = statements::words(place.statement());
        let into = words.iter().position(|w| !w.quoted && w.text.eq_ignore_ascii_case("INTO"));
        let table = into.and_then(|at| words.get(at + 1)).map_or("statements", |w| &w.text);
        self.planned(place, "", None)?;
        self.start(place, &format!("insert-into-{table}")).await
    }

    /// Submits a job; waits for it where nobody could look after it otherwise.
    async fn start(&mut self, place: &Place<'_>, name: &str) -> Result<Next, Failure> {
        let text = self.text_of(place, "");
        let named = self.session.setting("pipeline.name").is_some();
        let name = (!named).then(|| jobfile::script_name(name));
        let sync = self.session.setting("table.dml-sync").is_some_and(|v| v.trim() == "true");
        let wait = sync || (self.target.is_embedded() && !self.interactive);
        let client = self.target.client().await?;
        let submitted = client.submit(&text, name.as_deref(), None, false).await?;
        let id = submitted["id"].as_str().unwrap_or_default().to_owned();
        eprintln!("job {} {id}", plain(&submitted["name"]));
        if !wait {
            return Ok(Next::Go);
        }
        let details = tokio::select! { biased;
            () = interrupted() => {
                target::cancel(client, &id).await;
                return Ok(Next::Interrupted);
            }
            details = target::ended(client, &id) => details?,
        };
        match (details["status"].as_str(), details["failure"].as_str()) {
            (Some("FINISHED"), _) => Ok(Next::Go),
            (_, Some(failure)) => Err(Failure::new(Exit::Failed, failure)),
            (status, None) => {
                let text = format!("job {id} is {}", status.unwrap_or("lost"));
                Err(Failure::new(Exit::Failed, text))
            }
        }
    }

    async fn query(&mut self, place: &Place<'_>) -> Result<Next, Failure> {
        let planned = self.planned(place, "", Some(RESULTS))?;
        let Some(graph) = planned.graph else {
            return Err(Failure::new(Exit::Failed, "the query starts no job"));
        };
        let text = self.text_of(place, QUERY_SETTINGS);
        let mode = self.mode();
        let size = Some(self.size).filter(|_| std::io::stdout().is_terminal());
        let client = self.target.client().await?;
        let submitted = client.submit(&text, Some("sql-query"), None, false).await?;
        let id = submitted["id"].as_str().unwrap_or_default();
        let out = std::io::BufWriter::new(std::io::stdout());
        let broken = |e: std::io::Error| Failure::new(Exit::Failed, e.to_string());
        let mut view = View::new(mode, results::columns(&graph), size, out).map_err(broken)?;
        match results::show(client, id, &mut view, interrupted()).await? {
            Outcome::Finished => Ok(Next::Go),
            Outcome::Interrupted => {
                self.say("canceled");
                Ok(Next::Interrupted)
            }
        }
    }

    /// How rows are shown: as asked, else a grid for people and lines for programs.
    fn mode(&self) -> Mode {
        match self.format {
            Some(RowFormat::Plain) => return Mode::Plain,
            Some(RowFormat::Json) => return Mode::Json,
            Some(RowFormat::Changelog) => return Mode::Changelog,
            Some(RowFormat::Table) => return Mode::Table,
            None => {}
        }
        let terminal = std::io::stdout().is_terminal();
        let wanted = self.session.setting("sql-client.execution.result-mode").map(str::trim);
        match wanted.map(str::to_lowercase).as_deref() {
            Some("table") if terminal => Mode::Table,
            Some("changelog" | "tableau") => Mode::Changelog,
            _ if !terminal => Mode::Plain,
            _ if self.interactive => Mode::Table,
            _ => Mode::Changelog,
        }
    }

    fn set(&mut self, place: &Place<'_>) -> Result<Next, Failure> {
        let mut found = sql::planner().settings(place.statement());
        let Some(setting) = found.pop() else {
            if statements::words(place.statement()).len() > 1 {
                self.planned(place, "", None)?;
            }
            let settings = self.session.settings();
            let rows = settings.map(|(k, v)| vec![k.to_owned(), v.to_owned()]).collect();
            show(&SqlAnswer { columns: vec!["key".to_owned(), "value".to_owned()], rows });
            return Ok(Next::Go);
        };
        // An answer, so that it is a script that does something.
        self.planned(place, "SHOW TABLES;", None)?;
        self.session.set(&setting.key, &setting.value);
        self.say("done");
        Ok(Next::Go)
    }

    fn reset(&mut self, place: &Place<'_>) -> Result<Next, Failure> {
        let rest = place.statement().trim_start()["RESET".len()..].trim();
        let key = rest.trim_matches('\'');
        self.session.reset(Some(key).filter(|k| !k.is_empty()));
        self.say("done");
        Ok(Next::Go)
    }

    async fn show_jobs(&mut self) -> Result<Next, Failure> {
        let columns = ["id", "name", "status", "started"].map(str::to_owned).to_vec();
        let mut rows = Vec::new();
        if self.target.is_up() {
            let jobs = self.target.client().await?.get("/jobs").await?;
            rows.extend(jobs["jobs"].as_array().into_iter().flatten().map(|j| {
                vec![
                    plain(&j["id"]),
                    plain(&j["name"]),
                    plain(&j["status"]),
                    time(&j["startedAtMs"]),
                ]
            }));
        }
        show(&SqlAnswer { columns, rows });
        Ok(Next::Go)
    }

    /// For people; programs see it in the exit code.
    fn say(&self, text: &str) {
        if self.interactive {
            eprintln!("{text}");
        }
    }
}

/// Prints what a statement without rows of its own answers.
fn show(answer: &SqlAnswer) {
    let columns: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
    match columns.as_slice() {
        // A plan is text, not a table.
        ["plan"] => answer.rows.iter().flatten().for_each(|line| say(line)),
        _ => say(&table(&columns, answer.rows.clone())),
    }
}

/// `CREATE TABLE t (columns) WITH (...)` of a `CREATE TABLE t WITH (...) AS SELECT ...`: what
/// the session keeps, since running the query once is enough.
fn without_query(statement: &str, described: &SqlAnswer) -> String {
    let words = statements::words(statement);
    let query = words.windows(2).find(|pair| {
        let is =
            |at: usize, word: &str| !pair[at].quoted && pair[at].text.eq_ignore_ascii_case(word);
        is(0, "AS") && ["SELECT", "WITH", "VALUES"].iter().any(|w| is(1, w))
    });
    let head = query.map_or(statement, |pair| &statement[..pair[0].at.start]);
    let Some((_, end)) = statements::object_name(statement) else { return head.to_owned() };
    if head[end.min(head.len())..].trim_start().starts_with('(') {
        return head.to_owned();
    }
    let columns: Vec<String> = described
        .rows
        .iter()
        .filter_map(|row| Some(format!("`{}` {}", row.first()?.replace('`', "``"), row.get(1)?)))
        .collect();
    format!("{} ({}){}", &head[..end], columns.join(", "), &head[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_keeps_its_line_and_column() {
        let text = "SELECT 'ß';\n  SELECT 2;";
        let at = statements::split(text).statements[1].clone();
        let place = Place { file: "f.sql", text, at };
        assert_eq!(place.in_place(), "           \n  SELECT 2");
    }

    #[test]
    fn a_table_made_from_a_query_is_kept_without_it() {
        let rows = vec![
            vec!["a".to_owned(), "INT".to_owned()],
            vec!["b`c".to_owned(), "STRING".to_owned()],
        ];
        let columns = SqlAnswer { columns: Vec::new(), rows };
        let text =
            "CREATE TABLE `t 1` WITH ('connector' = 'print') AS SELECT 1 AS a, 'AS SELECT' AS b";
        let kept = without_query(text, &columns);
        assert_eq!(
            kept,
            "CREATE TABLE `t 1` (`a` INT, `b``c` STRING) WITH ('connector' = 'print') "
        );
    }
}
