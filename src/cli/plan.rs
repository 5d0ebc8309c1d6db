//! `evalrun plan`: what a run will take, by the scheduler itself with a clock that is made up.

use super::args::PlanArgs;
use super::exit::{self, Failure};
use super::settings::{OrderName, Settings, Size};
use super::terminal::{Terminal, bytes};
use super::{Session, history, runtime, shard};
use crate::dataset::{self, Dataset};
use crate::history::{Expectations, Line, Source, Table};
use crate::image::{Estimate, Images};
use crate::model::{Instance, Prediction};
use crate::run::{Order, Pretended, Simulated, simulate, write_whole};
use crate::sandbox::fake::{FakeBackend, Reply};
use anyhow::anyhow;
use serde_json::json;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;
use tabled::builder::Builder;
use tabled::settings::object::{Columns, Rows};
use tabled::settings::{Alignment, Style};

/// What is to be planned.
struct Wanted {
    dataset: Dataset,
    predictions: Vec<Prediction>,
    expectations: Expectations,
    table: Table,
}

/// A run as it would be.
struct Planned {
    parallel: usize,
    order: Order,
    result: Simulated,
}

pub(super) fn run(args: &PlanArgs, session: &Session) -> Result<u8, Failure> {
    let Session { settings, terminal } = session;
    let wanted = runtime()?.block_on(wanted(settings, terminal))?;
    let images = images(settings, &wanted.dataset)?;
    let planned = plans(args, settings, (&wanted, &images))?;
    let known = Known::of(&wanted);
    if let Some(path) = &args.write {
        let table = written(&wanted);
        write_whole(path, &table.to_text()).map_err(Failure::broken)?;
        terminal.say(&format!(
            "written: {}, {} instances, durations {}",
            path.display(),
            table.instances.len(),
            table.digest().short()
        ));
    }
    if terminal.json {
        terminal.print_json(&as_json(&planned, &known, &images.estimate));
    } else {
        terminal.print(&text(&planned, &known, &images.estimate));
    }
    if let Some(of) = args.shards {
        tell_shards(&wanted, of, terminal);
    }
    Ok(exit::FINISHED)
}

async fn wanted(settings: &Settings, terminal: &Terminal) -> Result<Wanted, Failure> {
    let (mut dataset, selection) = settings.load_dataset().await?;
    selection.apply(&mut dataset)?;
    let predictions = match settings.predictions.as_slice() {
        [] => dataset::load_predictions(&["gold".to_owned()], &dataset)?,
        named => dataset::load_predictions(named, &dataset)?,
    };
    let table = shard::table(settings, &dataset)?;
    let history = history::open(settings, terminal)?;
    let mut expectations = history::expectations(history.as_ref(), terminal);
    expectations.fill(&table, &dataset.instances);
    Ok(Wanted { dataset, predictions, expectations, table })
}

/// The images of a plan.
struct PlannedImages {
    estimate: Estimate,
    /// By instance id: whether something of its image has to be made; those of which no plan can be
    /// made are taken as there.
    missing: HashMap<String, bool>,
}

fn images(settings: &Settings, dataset: &Dataset) -> Result<PlannedImages, Failure> {
    let store = settings.store()?;
    // Nothing is made: whatever a sandbox needs is of no matter.
    let backend = FakeBackend::new(|_| Reply::code(1, ""));
    let options = settings.image_options(&store, &store.home().join("logs"))?;
    let images = Images::new(backend, store, options);
    let estimate = images.estimate(&dataset.instances).map_err(Failure::broken)?;
    let missing = dataset.instances.iter().map(|instance| {
        let missing = images.plan(instance).is_ok_and(|plan| plan.missing() > 0);
        (instance.id.to_string(), missing)
    });
    Ok(PlannedImages { estimate, missing: missing.collect() })
}

fn plans(
    args: &PlanArgs,
    settings: &Settings,
    (wanted, images): (&Wanted, &PlannedImages),
) -> Result<Vec<Planned>, Failure> {
    let here = crate::run::this_machine();
    let memory = match &args.mem {
        Some(text) => Size::try_from(toml::Value::String(text.clone()))
            .map_err(|why| Failure::input(anyhow!(why)))?
            .0
            .unwrap_or(u64::MAX / 4),
        None => here.free,
    };
    let cores = args.cores.unwrap_or(here.cpus);
    let parallel = match args.parallel.as_slice() {
        [] => vec![args.cores.map_or_else(|| settings.parallel(), |cores| cores.max(1))],
        named => named.to_vec(),
    };
    let orders = match args.order.as_slice() {
        [] => vec![settings.order.into()],
        named => named.iter().map(|name| order(name)).collect::<Result<_, _>>()?,
    };
    let at: HashMap<_, usize> = wanted
        .dataset
        .instances
        .iter()
        .enumerate()
        .map(|(at, instance)| (&instance.id, at))
        .collect();
    let to_run = wanted.predictions.iter().filter(|prediction| !prediction.is_empty());
    let jobs: Vec<usize> =
        to_run.filter_map(|prediction| at.get(&prediction.instance_id).copied()).collect();
    let image = |instance: &Instance| match images.missing.get(instance.id.as_str()) {
        Some(true) => wanted.expectations.image(&instance.repo).unwrap_or_default(),
        _ => Duration::ZERO,
    };
    let mut planned = Vec::new();
    for parallel in parallel {
        for &order in &orders {
            let machine = Pretended {
                cores,
                memory,
                parallel: parallel.max(1),
                images: parallel.max(1),
                limit: settings.memory.0,
                order,
            };
            let instances = &wanted.dataset.instances;
            let result = simulate(instances, &jobs, &wanted.expectations, &image, &machine);
            planned.push(Planned { parallel, order, result });
        }
    }
    Ok(planned)
}

fn order(name: &str) -> Result<Order, Failure> {
    match name {
        "longest" => Ok(Order::LongestFirst),
        "given" => Ok(Order::FirstCome),
        other => Err(Failure::input(anyhow!("`{other}` is no order")).hint("longest or given")),
    }
}

fn name(order: Order) -> &'static str {
    match order {
        Order::LongestFirst => "longest",
        Order::FirstCome => "given",
    }
}

impl From<OrderName> for Order {
    fn from(name: OrderName) -> Self {
        match name {
            OrderName::Longest => Self::LongestFirst,
            OrderName::Given => Self::FirstCome,
        }
    }
}

/// How much of a plan rests on what.
#[derive(Default)]
struct Known {
    instances: usize,
    by_instance: usize,
    by_likes: usize,
}

impl Known {
    fn of(wanted: &Wanted) -> Self {
        let mut known = Self { instances: wanted.dataset.instances.len(), ..Self::default() };
        for instance in &wanted.dataset.instances {
            match wanted.expectations.of(instance) {
                Some((_, Source::Instance)) => known.by_instance += 1,
                Some(_) => known.by_likes += 1,
                None => {}
            }
        }
        known
    }

    fn guessed(&self) -> usize {
        self.instances - self.by_instance - self.by_likes
    }
}

/// What is known of the instances themselves, and what the table that was given says of others.
fn written(wanted: &Wanted) -> Table {
    let lines = wanted.dataset.instances.iter().filter_map(|instance| {
        let (expected, source) = wanted.expectations.of(instance)?;
        (source == Source::Instance).then(|| (instance.id.clone(), Line::of(&expected)))
    });
    Table::new(&wanted.dataset.name, lines.collect())
}

fn hours(time: Duration) -> f64 {
    time.as_secs_f64() / 3600.0
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match hours {
        0 if minutes == 0 => format!("{:.1} s", time.as_secs_f64()),
        0 => format!("{minutes} min {:02} s", seconds % 60),
        _ => format!("{hours} h {minutes:02} min"),
    }
}

fn text(planned: &[Planned], known: &Known, disk: &Estimate) -> String {
    let mut builder = Builder::default();
    builder.push_record(["at once", "order", "wall time", "seconds", "most at once", "memory"]);
    for Planned { parallel, order, result } in planned {
        builder.push_record([
            parallel.to_string(),
            name(*order).to_owned(),
            clock(result.wall),
            format!("{:.1}", result.wall.as_secs_f64()),
            result.peak_in_flight.to_string(),
            bytes(result.peak_memory),
        ]);
    }
    let mut table = builder.build();
    table.with(Style::rounded()).modify(Columns::new(..), Alignment::right());
    table.modify(Rows::first(), Alignment::left());
    let mut text = format!("{table}\n");
    if let Some(first) = planned.first() {
        let _ = writeln!(text, "CPU hours: {:.2}", hours(first.result.cpu));
    }
    let _ = write!(text, "disk: images that are there {}", bytes(disk.there));
    if disk.missing > 0 {
        let _ = write!(text, ", {} layers to be made about {}", disk.missing, bytes(disk.expected));
        if disk.unknown > 0 {
            let _ = write!(text, " and {} of unknown size", disk.unknown);
        }
    }
    let _ = writeln!(
        text,
        "\nof {} instances: {} known by runs of their own, {} by their likes, {} guessed",
        known.instances,
        known.by_instance,
        known.by_likes,
        known.guessed()
    );
    text
}

fn as_json(planned: &[Planned], known: &Known, disk: &Estimate) -> serde_json::Value {
    let plans: Vec<_> = planned
        .iter()
        .map(|one| {
            json!({
                "parallel": one.parallel,
                "order": name(one.order),
                "seconds": one.result.wall.as_secs_f64(),
                "cpu_hours": hours(one.result.cpu),
                "peak_in_flight": one.result.peak_in_flight,
                "peak_memory": one.result.peak_memory,
            })
        })
        .collect();
    json!({
        "plans": plans,
        "instances": known.instances,
        "known": known.by_instance,
        "known_by_likes": known.by_likes,
        "guessed": known.guessed(),
        "disk": {
            "there": disk.there, "missing_layers": disk.missing, "expected": disk.expected,
            "unknown_layers": disk.unknown,
        },
    })
}

fn tell_shards(wanted: &Wanted, of: usize, terminal: &Terminal) {
    // By what travels with the command, as the shards themselves will do it.
    let table = match wanted.table.instances.is_empty() {
        true => &written(wanted),
        false => &wanted.table,
    };
    let cut = shard::cut_run(&wanted.dataset, &wanted.predictions, table, of);
    for (number, (ids, load)) in cut.shards.iter().zip(&cut.loads).enumerate() {
        let load = clock(Duration::from_millis(*load));
        terminal.say(&format!("shard {}/{of}: {} instances, {load}", number + 1, ids.len()));
    }
    terminal.say(&format!("cut {}", cut.digest.short()));
}
