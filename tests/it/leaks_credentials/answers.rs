//! Providers that send back what they were sent, in every form in which they answer.

use lanyard::provider::by_kind;

use super::commands::{assert_clean, talkative};
use super::echo::{ANSWERS, Echo, Mood, REFUSALS};
use super::kept::{self, Given, Kept};
use crate::canary::{Canary, Sweep};
use crate::stage::Stage;
use crate::vaulted;

/// Every form of a refusal with the statuses that are read closely, some with the others, and all else.
fn moods() -> Vec<Mood> {
    let close = [401, 403].into_iter().flat_map(|status| REFUSALS.map(|shape| Mood::Says(status, shape)));
    let others = [(400, 1), (400, 3), (404, 0), (429, 0), (500, 2)];
    let others = others.map(|(status, shape)| Mood::Says(status, REFUSALS[shape]));
    let answers = ANSWERS.map(|shape| Mood::Says(200, shape));
    let rest = [Mood::Portal(200), Mood::Portal(403), Mood::Elsewhere, Mood::Challenges];
    close.chain(others).chain(answers).chain(rest).collect()
}

/// A vault with every credential, all of them asked about at the double.
struct Scene {
    stage: Stage,
    echo: Echo,
    all: Vec<Kept>,
    canaries: Vec<Canary>,
    _given: Given,
}

impl Scene {
    fn new() -> Self {
        let (given, minted) = (Given::new(), Canary::of_chance(60));
        let echo = Echo::start(&minted);
        let all = kept::all(&echo.double.url(), &given);
        let mut canaries: Vec<Canary> = all.iter().flat_map(|kept| kept.canaries.clone()).collect();
        canaries.push(minted);
        echo.knows(&canaries);
        let mut stage = vaulted::stage();
        talkative(&mut stage);
        stage.set("AWS_ENDPOINT_URL", echo.double.url()).set("HTTPS_PROXY", echo.double.url());
        for kept in &all {
            kept.store(&stage, &["--no-verify"]).ends(0);
        }
        Self { stage, echo, all, canaries, _given: given }
    }

    /// Runs a command in a mood, and looks through all that it says.
    fn run(&self, sweep: &mut Sweep, mood: Mood, words: &[&str]) -> crate::stage::Outcome {
        self.echo.mood(mood);
        let outcome = self.stage.run(words);
        assert!(!matches!(outcome.code, Some(101) | None), "{mood:?}: {outcome}");
        let what = format!("{} {mood:?}", words.join(" "));
        sweep.bytes(&format!("stdout of {what}"), &outcome.stdout);
        sweep.bytes(&format!("stderr of {what}"), &outcome.stderr);
        outcome
    }
}

#[test]
fn what_a_provider_repeats_is_told_to_nobody() {
    let scene = Scene::new();
    let mut sweep = Sweep::for_canaries(&scene.canaries);
    for mood in moods() {
        let tested = scene.run(&mut sweep, mood, &["credentials", "test", "--json", "-vvv"]);
        assert_eq!(tested.json().as_array().map(Vec::len), Some(scene.all.len()), "{tested}");
    }
    for mood in [Mood::Says(401, REFUSALS[0]), Mood::Says(200, ANSWERS[0])] {
        scene.run(&mut sweep, mood, &["credentials", "test", "-v"]);
    }
    assert!(scene.echo.told() > 25, "the double was told {}", scene.echo.told());
    // Nothing of it was noted, either.
    sweep.tree(scene.stage.root());
    assert_clean(sweep, &scene.canaries, &scene.all);
}

#[test]
fn what_a_provider_repeats_while_something_is_made_is_told_to_nobody() {
    let scene = Scene::new();
    let mut sweep = Sweep::for_canaries(&scene.canaries);
    let few = [
        Mood::Says(400, REFUSALS[1]),
        Mood::Says(401, REFUSALS[0]),
        Mood::Says(403, REFUSALS[5]),
        Mood::Says(500, REFUSALS[3]),
        Mood::Portal(403),
        Mood::Elsewhere,
    ];
    let makes = |kept: &&Kept| {
        let (provider, kind) = by_kind(kept.kind).expect("a kind");
        kind.renews_itself || provider.rotation().is_some()
    };
    let mut asked = 0;
    for kept in scene.all.iter().filter(makes) {
        for mood in few {
            scene.run(&mut sweep, mood, &["credentials", "rotate", &kept.name, "-vvv"]);
            let (_, kind) = by_kind(kept.kind).expect("a kind");
            // What comes out on stdout where it comes out is what was asked for.
            let refused = kind.renews_itself && !matches!(mood, Mood::Says(403, _));
            // The files of these are made of what is here: a token of EKS is signed, and no one is asked.
            let is_made_here = ["gcp_service_account", "verda_oauth_client", "kubeconfig_eks"].contains(&kept.kind);
            if refused && !is_made_here {
                let words = ["credentials", "export", &kept.name, "--format", "json", "-vvv"];
                assert_ne!(scene.run(&mut sweep, mood, &words).code, Some(0), "{}", kept.name);
                asked += 1;
            }
        }
    }
    assert!(asked >= 10, "{asked} were asked for");
    sweep.tree(scene.stage.root());
    assert_clean(sweep, &scene.canaries, &scene.all);
}
