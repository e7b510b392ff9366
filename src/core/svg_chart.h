// SPDX-License-Identifier: MIT
// A line chart as an SVG file: for loss curves, thread scaling, rooflines. Text and strokes only, no scripts,
// readable on light and dark pages.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace tern {

struct ChartSeries {
  std::string name;  // for the legend; empty = not listed there
  std::vector<std::pair<double, double>> points;
  bool is_line = true;  // else dots only
  bool is_dashed = false;
};

struct Chart {
  std::string title, x_label, y_label;
  bool log_x = false, log_y = false;  // then values <= 0 are left out
  bool from_zero = false;             // linear y axis starts at 0
  std::vector<ChartSeries> series = {};
};

/// The chart as a complete SVG document of 800 x 480. Values that are not finite are left out; a chart
/// without any point has axes from 0 to 1.
std::string render_svg(const Chart& chart);

}  // namespace tern
