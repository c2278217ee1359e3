// SPDX-License-Identifier: Apache-2.0
// The report: which runs are seeds of one experiment, which are compared, what is on a front, what a cost is a
// percentage of. Runs are made here, without training.
#include "report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nn/models/model.h"
#include "nn/train/learning_rate.h"
#include "report/words.h"

namespace bitcycle::report {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kConfig = R"(
model: {name: resnet8, classes: 10}
data: {name: synthetic, train_images: 64, test_images: 32}
train: {steps: 8, batch: 8, evaluate_every: 4}
precision:
  forward: {schedule: cyclic_cosine, min: 3, max: 6, cycles: 2}
  gradient: {schedule: constant, max: 8}
)";

/// A run that has done all its steps; `accuracy` below 0: without an evaluation.
RecordedRun run_of(const std::string& folder, std::vector<ConfigOverride> keys, double accuracy,
                   std::uint8_t digest = 1) {
  RecordedRun run;
  run.folder = folder;
  run.config = parse_config(kConfig, "test", keys);
  run.precision = precision_spec(run.config);
  run.planned = run.done = run.config.train.steps;
  run.finished = true;
  if (accuracy >= 0.0) {
    EvaluationRecord evaluation;
    evaluation.step = run.done;
    evaluation.test_accuracy = accuracy;
    run.evaluations.push_back(evaluation);
  }
  Digest128 root;
  root.bytes[0] = digest;
  run.digests.emplace_back(run.done, root);
  return run;
}
ConfigOverride seed(int value) { return {"train.seed", std::to_string(value)}; }

TEST(Report, runs_that_differ_by_seed_are_one_experiment) {
  std::vector<RecordedRun> runs{run_of("cpt-s1", {seed(1)}, 80.0), run_of("cpt-s2", {seed(2)}, 84.0),
                                run_of("static", {{"precision.forward.schedule", "constant"}}, 90.0)};
  label_runs(runs);
  const auto experiments = experiments_of(runs);
  ASSERT_EQ(experiments.size(), 2U);
  EXPECT_THAT(experiments[0].runs, ElementsAre(0U, 1U));
  EXPECT_EQ(experiments[0].label, "cpt (2 seeds)");
  EXPECT_DOUBLE_EQ(*experiments[0].accuracy_mean, 82.0);
  EXPECT_DOUBLE_EQ(*experiments[0].accuracy_deviation, std::sqrt(8.0));
  EXPECT_EQ(experiments[1].label, "static");
  EXPECT_FALSE(experiments[1].accuracy_deviation);
}

/// A sample of a Transformer is a sequence, and its energy that of `cost`.
TEST(Report, sequences_are_priced_as_sequences) {
  RecordedRun run = run_of("text", {}, -1.0);
  run.config = parse_config(
      "model: {name: transformer_lm, quantise: linears+attention, vocabulary: 90, layers: 1, embedding: 16, heads: 2, "
      "ffn: 24}\ndata: {name: text, path: text}\ntrain: {steps: 8, batch: 2, time_steps: 10}\n"
      "optimizer: {name: adamw}\nprecision: {forward: {schedule: constant, max: 8}, gradient: {schedule: constant, "
      "max: 8}}\n",
      "test", {});
  run.precision = precision_spec(run.config);
  const std::vector<RecordedRun> runs{run};
  auto experiments = experiments_of(runs);
  const auto comparisons = comparisons_of(runs, experiments);
  const Accelerator accelerator = load_accelerator(BITCYCLE_SOURCE "/configs/accelerators/systolic-int8.yaml");
  const auto costs = costs_of(runs, experiments, comparisons, {accelerator});
  PricingOptions options;
  options.batch = 2;
  const Pricing priced =
      price_training(accelerator, model_workload(run.config), PrecisionPlan(run.precision, 8), 0, 8, options);
  ASSERT_TRUE(costs.at(0).hardware.at(0).cost);
  EXPECT_DOUBLE_EQ(*costs[0].hardware[0].cost->energy, 1e-9 * priced.total.total_nj());
}

TEST(Report, a_run_given_twice_or_copied_is_one_run) {
  std::vector<RecordedRun> runs{run_of("a", {seed(1)}, 80.0), run_of("./a", {seed(1)}, 80.0),
                                run_of("copy", {seed(1)}, 80.0)};
  const auto notes = remove_repeats(runs);
  ASSERT_EQ(runs.size(), 1U);
  ASSERT_EQ(notes.size(), 2U);
  EXPECT_THAT(notes[1], HasSubstr("'copy' and 'a' are the same run (the same config, seed and digest)"));
}

TEST(Report, of_two_copies_the_one_that_has_come_further_stays) {
  std::vector<RecordedRun> runs{run_of("early", {seed(1)}, 70.0), run_of("late", {seed(1)}, 80.0)};
  runs[0].done = 4;
  runs[0].digests = {{4, runs[0].digests[0].second}};  // no step has a digest in both
  const auto notes = remove_repeats(runs);
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0].folder, "late");
  EXPECT_THAT(notes, ElementsAre(HasSubstr("the same config and seed")));
}

TEST(Report, one_seed_with_two_digests_is_never_two_seeds) {
  std::vector<RecordedRun> runs{run_of("a", {seed(1)}, 80.0, 1), run_of("b", {seed(1)}, 84.0, 2)};
  EXPECT_THAT(remove_repeats(runs), ElementsAre(HasSubstr("different digests")));
  EXPECT_EQ(runs.size(), 2U);
  label_runs(runs);
  EXPECT_EQ(experiments_of(runs).size(), 2U);
}

TEST(Report, runs_are_named_by_their_folders_and_parents_tell_equal_names_apart) {
  std::vector<RecordedRun> runs{run_of("/x/first/run", {seed(1)}, 1.0), run_of("/x/second/run/", {seed(2)}, 1.0),
                                run_of("/x/other", {seed(3)}, 1.0),
                                run_of("/x/e\n\xE2\x80\xAEvil\xFF", {seed(4)}, 1.0)};
  label_runs(runs);
  EXPECT_EQ(runs[0].label, "first/run");
  EXPECT_EQ(runs[1].label, "second/run");
  EXPECT_EQ(runs[2].label, "other");
  EXPECT_EQ(runs[3].label, "e\uFFFD\uFFFDvil\uFFFD");
}

TEST(Report, a_run_without_an_evaluation_has_no_accuracy_and_is_on_no_front) {
  const std::vector<RecordedRun> runs{run_of("a", {seed(1)}, -1.0), run_of("b", {{"optimizer.lr", "0.2"}}, 50.0)};
  auto experiments = experiments_of(runs);
  const auto comparisons = comparisons_of(runs, experiments);
  EXPECT_FALSE(experiments[0].accuracy_mean);
  ASSERT_EQ(comparisons.size(), 1U);
  EXPECT_THAT(front_of(comparisons[0], experiments, {1.0, 2.0}), ElementsAre(false, true));
}

TEST(Report, an_unfinished_run_is_an_experiment_of_its_own_and_on_no_front) {
  std::vector<RecordedRun> runs{run_of("a", {seed(1)}, 50.0), run_of("b", {seed(2)}, 60.0)};
  runs[1].finished = false;
  runs[1].done = 4;
  auto experiments = experiments_of(runs);
  const auto comparisons = comparisons_of(runs, experiments);
  ASSERT_EQ(experiments.size(), 2U);
  EXPECT_THAT(front_of(comparisons[0], experiments, {2.0, 1.0}), ElementsAre(true, false));
}

TEST(Report, each_data_set_and_task_has_a_front_of_its_own) {
  const std::vector<RecordedRun> runs{run_of("cheap", {{"data.test_images", "64"}}, 50.0), run_of("dear", {}, 40.0),
                                      run_of("hundred", {{"data.name", "cifar100"}, {"model.classes", "100"}}, 30.0)};
  auto experiments = experiments_of(runs);
  const auto comparisons = comparisons_of(runs, experiments);
  ASSERT_EQ(comparisons.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(front_of(comparisons[i], experiments, {1.0, 2.0, 3.0})[i]) << i;
  EXPECT_EQ(comparisons[2].label, "cifar100 (64 training images, 32 test images), 100 classes");
}

ReportData priced(std::vector<RecordedRun> runs, std::vector<Accelerator> accelerators,
                  std::optional<LayerWidths> baseline = {}) {
  ReportData data;
  data.baseline = baseline;
  data.runs = std::move(runs);
  label_runs(data.runs);
  data.accelerators = std::move(accelerators);
  data.experiments = experiments_of(data.runs);
  data.comparisons = comparisons_of(data.runs, data.experiments);
  data.costs = costs_of(data.runs, data.experiments, data.comparisons, data.accelerators, baseline);
  add_pricing_notes(data);
  return data;
}
Accelerator accelerator(const std::string& name) {
  return load_accelerator(BITCYCLE_SOURCE "/configs/accelerators/" + name + ".yaml");
}

TEST(Report, all_compared_runs_have_one_baseline) {
  // A schedule of 3 to 6 bits beside a static run at 8: both are percentages of static 8/8 bits.
  const auto data =
      priced({run_of("cpt", {}, 50.0),
              run_of("static-8", {{"precision.forward.schedule", "constant"}, {"precision.forward.max", "8"}}, 60.0)},
             {});
  EXPECT_EQ(baseline_text(baseline_of(data.comparisons[0], data.runs, data.experiments)), "8/8");
  EXPECT_DOUBLE_EQ(data.costs[0].baseline_paper_bitops, data.costs[1].baseline_paper_bitops);
  EXPECT_DOUBLE_EQ(data.costs[1].paper_bitops, data.costs[1].baseline_paper_bitops);
  EXPECT_LT(data.costs[0].paper_bitops, data.costs[0].baseline_paper_bitops);
}

LayerWidths static_widths(int bits) { return {BitWidth::integer(bits), BitWidth::integer(bits)}; }

TEST(Report, one_run_of_wide_layers_takes_no_percentage_from_the_others_where_a_baseline_is_given) {
  // systolic-int8 cannot multiply 12 bits, so it has no baseline of 12 bits for the run at 3 to 6 bits either.
  const std::vector<RecordedRun> runs{
      run_of("cpt", {}, 50.0),
      run_of("wide", {{"precision.forward.schedule", "constant"}, {"precision.forward.max", "12"}}, 60.0)};
  const auto without = priced(runs, {accelerator("systolic-int8")});
  EXPECT_TRUE(without.costs[0].hardware[0].cost);
  EXPECT_FALSE(without.costs[0].hardware[0].baseline);
  EXPECT_THAT(without.pricing_notes,
              testing::Contains(testing::AllOf(HasSubstr("On systolic-int8, the baseline of cpt could not be priced"),
                                               HasSubstr("--baseline"))));
  const auto with = priced(runs, {accelerator("systolic-int8")}, static_widths(8));
  EXPECT_TRUE(with.costs[0].hardware[0].baseline);
  EXPECT_DOUBLE_EQ(with.costs[0].baseline_paper_bitops, with.costs[1].baseline_paper_bitops);
  EXPECT_LT(with.costs[0].baseline_paper_bitops, without.costs[0].baseline_paper_bitops);
  EXPECT_THAT(report_html(with), HasSubstr("the bit-widths that were asked for with --baseline: 8 bits forward"));
}

TEST(Report, layers_at_widths_of_their_own_are_named_in_the_baseline) {
  const auto data = priced({run_of("apart", {{"precision.layers", "[{match: conv1, forward: 12}]"}}, 50.0)}, {});
  EXPECT_EQ(baseline_text(baseline_of(data.comparisons[0], data.runs, data.experiments)), "6/8, conv1 12/8");
  EXPECT_THAT(report_html(data), HasSubstr("6 bits forward and 8 bits backward, but conv1 at 12 bits forward"));
}

TEST(Report, a_fork_is_compared_with_the_widths_of_its_past_too) {
  RecordedRun fork = run_of("fork", {{"precision.forward.max", "5"}}, 50.0);
  const ScheduleSpec eight{"constant", {}, BitWidth::integer(8), 1, 8};
  fork.config.precision.history = {{4, 8, eight, eight, {}}};
  fork.precision = precision_spec(fork.config);
  const auto data = priced({fork}, {});
  EXPECT_EQ(baseline_text(baseline_of(data.comparisons[0], data.runs, data.experiments)), "8/8");
}

TEST(Report, a_baseline_that_no_step_reaches_is_said) {
  // Two steps of a cycle of eight: 3 and 3 of 3 to 6 bits.
  const auto data = priced({run_of("short", {{"train.steps", "2"}, {"precision.forward.cycles", "1"}}, 50.0)}, {});
  const auto baseline = baseline_of(data.comparisons[0], data.runs, data.experiments);
  EXPECT_EQ(baseline_text(baseline), "6/8");
  ASSERT_TRUE(baseline.reached);
  EXPECT_LT(baseline.reached->forward, BitWidth::integer(6));
  EXPECT_THAT(report_html(data), HasSubstr("which no step has: the largest widths of any step are "));
}

TEST(Report, the_metric_executed_is_priced_beside_paper) {
  const auto data = priced({run_of("cpt", {}, 50.0)}, {accelerator("horowitz-45nm"), accelerator("systolic-int8")});
  const auto& hardware = data.costs[0].hardware;
  ASSERT_EQ(hardware.size(), 4U);
  EXPECT_GT(*hardware[1].cost->energy, *hardware[0].cost->energy);
  EXPECT_FALSE(hardware[3].cost) << "the 16-bit grid of a shared error pass does not fit eight bits";
  EXPECT_THAT(hardware[3].refusal, HasSubstr("systolic-int8"));
  EXPECT_THAT(hardware[3].refusal, testing::Not(HasSubstr(BITCYCLE_SOURCE)));
}

TEST(Report, why_a_price_is_missing_is_written_once) {
  const auto data = priced({run_of("a", {}, 50.0), run_of("b", {{"precision.forward.max", "5"}}, 50.0),
                            run_of("c", {{"precision.forward.max", "4"}}, 50.0)},
                           {accelerator("systolic-int8")});
  ASSERT_EQ(data.pricing_notes.size(), 1U);
  const std::string html = report_html(data);
  const auto count = [&](const std::string& text) {
    std::size_t found = 0;
    for (auto at = html.find(text); at != std::string::npos; at = html.find(text, at + 1)) ++found;
    return found;
  };
  EXPECT_EQ(count("systolic-int8 cannot multiply"), 1U);
  EXPECT_EQ(count("<td class=t>note 1"), 3U) << "one row for each experiment";
  EXPECT_EQ(count("<li>Note 1: "), 1U);
}

TEST(Report, what_is_no_energy_is_not_zero_joule_and_what_is_not_finite_is_refused) {
  Accelerator broken = accelerator("systolic-int8");
  broken.dram_pj_per_bit = 1e308;
  const auto data = priced({run_of("cpt", {}, 50.0)}, {accelerator("effective-macs"), broken});
  const auto& hardware = data.costs[0].hardware;
  ASSERT_TRUE(hardware[0].cost);
  EXPECT_FALSE(hardware[0].cost->energy);
  EXPECT_FALSE(hardware[2].cost);
  EXPECT_THAT(hardware[2].refusal, HasSubstr("not a finite number"));
  const std::string html = report_html(data);
  const std::string tables = html.substr(0, html.find("<script>"));
  for (const char* nonsense : {"nan", "inf J", "inf<", "Infinity"})
    EXPECT_EQ(tables.find(nonsense), std::string::npos) << nonsense;
  EXPECT_THAT(hardware[0].layers, IsEmpty());
}

TEST(Report, what_cannot_be_priced_is_said_with_accelerator_and_metric) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "report_of_one_run";
  std::filesystem::remove_all(folder);
  {
    const Config config = parse_config(kConfig, "test");
    const PrecisionPlan plan(precision_spec(config), config.train.steps);
    RunFolder run = RunFolder::open(folder, config);
    for (int step = 0; step < 8; ++step) {
      const LayerWidths widths = plan.at(step);
      run.append(StepRecord{step, widths.forward.bits(), widths.gradient.bits(), 1.0,
                            learning_rate_at(config.learning_rate, step)});
      if (step == 0 || widths != plan.at(step - 1)) run.append(WidthRecord{step, widths, {}});
    }
    run.flush();
  }
  const auto data = report_data({folder}, {accelerator("systolic-int8")});
  EXPECT_THAT(data.pricing_notes,
              ElementsAre(HasSubstr("On systolic-int8, report_of_one_run could not be priced at the "
                                    "executed widths: systolic-int8 cannot multiply")));
  EXPECT_THAT(data.notes,
              ElementsAre(HasSubstr("Unfinished: report_of_one_run (all 8 steps are done, but no summary.json"),
                          HasSubstr("without an accuracy: report_of_one_run")));
  std::filesystem::remove_all(folder);
}

TEST(Report, ratios_are_not_joules) {
  const auto data = priced({run_of("cpt", {}, 50.0)}, {accelerator("eyeriss-relative"), accelerator("horowitz-45nm")});
  const std::string html = report_html(data);
  EXPECT_THAT(html, HasSubstr("<td class=t>eyeriss-relative<td class=t>paper<td class=t>units"));
  EXPECT_THAT(html, HasSubstr("<td class=t>horowitz-45nm<td class=t>paper<td class=t>J"));
  EXPECT_THAT(html, HasSubstr("one unit is a multiply-accumulate of 16 bits"));
}

TEST(Report, numbers_are_exact_in_tables_and_rounded_in_sentences) {
  EXPECT_EQ(exact(92760.6), "92,760.6");
  EXPECT_EQ(exact(-1234567.0), "-1,234,567");
  EXPECT_EQ(exact(0.1 + 0.2), "0.30000000000000004");
  EXPECT_EQ(exact(1.5e300), "1.5e+300");
  EXPECT_EQ(exact(std::int64_t{64000}), "64,000");
  EXPECT_EQ(rounded(92760.6), "92,800");
  EXPECT_EQ(rounded(37.0951), "37.1");
  EXPECT_EQ(rounded(86.01), "86.0");
  EXPECT_EQ(rounded(99.96), "100");
  EXPECT_EQ(rounded(0.0123456), "0.0123");
  EXPECT_EQ(escaped("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
}

}  // namespace
}  // namespace bitcycle::report
