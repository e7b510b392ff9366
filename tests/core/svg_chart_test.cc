// SPDX-License-Identifier: MIT
#include "core/svg_chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace tern {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(SvgChart, PointsLieWhereTheAxesSay) {
  // 0..10 over 700 pixels from x = 76, 0..100 over 380 pixels up from y = 424.
  const std::string svg = render_svg({.title = "t",
                                      .x_label = "x",
                                      .y_label = "y",
                                      .series = {{.name = "a", .points = {{0, 0}, {5, 50}, {10, 100}}}}});
  EXPECT_THAT(svg, HasSubstr("points=\"76.0,424.0 426.0,234.0 776.0,44.0 \""));
  EXPECT_THAT(svg, HasSubstr(">100</text>"));
}

TEST(SvgChart, LogarithmicAxesHaveDecades) {
  const std::string svg =
      render_svg({.title = "",
                  .x_label = "",
                  .y_label = "",
                  .log_x = true,
                  .series = {{.name = "", .points = {{1, 1}, {10, 2}, {100, 3}, {0, 9}}}}});
  EXPECT_THAT(svg, HasSubstr("points=\"76.0,424.0 426.0,234.0 776.0,44.0 \"")) << "x = 0 has no logarithm";
}

TEST(SvgChart, OddInputsGiveAChart) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const auto& points :
       std::vector<std::vector<std::pair<double, double>>>{{},
                                                           {{1, 1}},
                                                           {{3, 7}, {3, 7}},
                                                           {{std::nan(""), 1}, {1, inf}},
                                                           {{1e300, -1e300}, {-1e300, 1e300}}}) {
    const std::string svg = render_svg(
        {.title = "<&\n>", .x_label = "", .y_label = "", .series = {{.name = "n", .points = points}}});
    EXPECT_THAT(svg, HasSubstr("&lt;&amp;&gt;"));
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
    EXPECT_TRUE(svg.ends_with("</svg>\n"));
  }
}

}  // namespace
}  // namespace tern
