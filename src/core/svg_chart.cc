// SPDX-License-Identifier: MIT
#include "core/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace tern {

namespace {

constexpr double kWidth = 800, kHeight = 480, kLeft = 76, kRight = 24, kTop = 44, kBottom = 56;
// Colours that people with the common kinds of colour blindness can tell apart (Okabe and Ito).
constexpr std::array<const char*, 6> kColours = {"#0072b2", "#d55e00", "#009e73",
                                                 "#cc79a7", "#e69f00", "#56b4e9"};

std::string escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (static_cast<unsigned char>(c) >= 0x20)
      out += c;
  }
  return out;
}

bool can_show(double value, bool is_log) { return std::isfinite(value) && (!is_log || value > 0); }

/// One axis: the range of its values (decades where logarithmic), its ticks, and where a value lies.
struct Axis {
  bool is_log = false;
  double low = 0, high = 1;   // of log10(value) where is_log
  std::vector<double> ticks;  // values
  double pixel_low = 0, pixel_high = 0;

  double at(double value) const {
    const double place = is_log ? std::log10(value) : value;
    return pixel_low + (place - low) / (high - low) * (pixel_high - pixel_low);
  }
};

/// Steps of 1, 2 or 5 times a power of ten, about six of them.
double nice_step(double span) {
  const double rough = span / 6, power = std::pow(10, std::floor(std::log10(rough)));
  const double digit = rough / power;
  return power * (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10);
}

Axis make_axis(const std::vector<double>& values, bool is_log, bool from_zero, double pixel_low,
               double pixel_high) {
  Axis axis{is_log, 0, 1, {}, pixel_low, pixel_high};
  bool any = false;
  for (const double value : values) {
    const double place = is_log ? std::log10(value) : value;
    axis.low = any ? std::min(axis.low, place) : place;
    axis.high = any ? std::max(axis.high, place) : place;
    any = true;
  }
  if (any && from_zero && !is_log) axis.low = std::min(axis.low, 0.0);
  if (axis.high - axis.low < 1e-9 * std::max(1.0, std::abs(axis.high))) axis.low -= 0.5, axis.high += 0.5;
  if (is_log) {
    axis.low = std::floor(axis.low), axis.high = std::ceil(axis.high);
    for (double decade = axis.low; decade <= axis.high; ++decade) axis.ticks.push_back(std::pow(10, decade));
    return axis;
  }
  const double step = nice_step(axis.high - axis.low);
  axis.low = std::floor(axis.low / step + 1e-9) * step;
  axis.high = std::ceil(axis.high / step - 1e-9) * step;
  const int count = static_cast<int>(std::lround((axis.high - axis.low) / step));
  for (int i = 0; i <= count; ++i) axis.ticks.push_back(axis.low + i * step);
  return axis;
}

std::string axes_svg(const Chart& chart, const Axis& x, const Axis& y) {
  std::string svg;
  for (const double tick : x.ticks) {
    svg += fmt::format(
        "<line class=\"g\" x1=\"{0:.1f}\" y1=\"{1}\" x2=\"{0:.1f}\" y2=\"{2}\"/>"
        "<text x=\"{0:.1f}\" y=\"{3}\" text-anchor=\"middle\">{4:.4g}</text>\n",
        x.at(tick), kTop, kHeight - kBottom, kHeight - kBottom + 18, tick + 0.0);
  }
  for (const double tick : y.ticks) {
    svg += fmt::format(
        "<line class=\"g\" x1=\"{1}\" y1=\"{0:.1f}\" x2=\"{2}\" y2=\"{0:.1f}\"/>"
        "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:.4g}</text>\n",
        y.at(tick), kLeft, kWidth - kRight, kLeft - 8, y.at(tick) + 4, tick + 0.0);
  }
  svg += fmt::format("<text class=\"t\" x=\"{}\" y=\"24\" text-anchor=\"middle\">{}</text>\n", kWidth / 2,
                     escape(chart.title));
  svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                     (kLeft + kWidth - kRight) / 2, kHeight - 14, escape(chart.x_label));
  svg += fmt::format("<text transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                     (kTop + kHeight - kBottom) / 2, escape(chart.y_label));
  return svg;
}

std::string series_svg(const ChartSeries& series, const Axis& x, const Axis& y, const char* colour) {
  std::string line, dots;
  for (const auto& [px, py] : series.points) {
    if (!can_show(px, x.is_log) || !can_show(py, y.is_log)) continue;
    line += fmt::format("{:.1f},{:.1f} ", x.at(px), y.at(py));
    dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" fill=\"{}\"/>\n", x.at(px), y.at(py),
                        colour);
  }
  if (!series.is_line) return dots;
  line = fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"{}/>\n", line,
                     colour, series.is_dashed ? " stroke-dasharray=\"6 4\"" : "");
  return series.points.size() <= 40 ? line + dots : line;
}

}  // namespace

std::string render_svg(const Chart& chart) {
  std::vector<double> xs, ys;
  for (const ChartSeries& series : chart.series) {
    for (const auto& [x, y] : series.points) {
      if (!can_show(x, chart.log_x) || !can_show(y, chart.log_y)) continue;
      xs.push_back(x);
      ys.push_back(y);
    }
  }
  const Axis x = make_axis(xs, chart.log_x, false, kLeft, kWidth - kRight);
  const Axis y = make_axis(ys, chart.log_y, chart.from_zero, kHeight - kBottom, kTop);
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"sans-serif\" font-size=\"13\">\n<style>text{{fill:#333}} .t{{font-size:16px}} "
      ".g{{stroke:#ccc;stroke-width:1}}</style>\n<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n",
      kWidth, kHeight);
  svg += axes_svg(chart, x, y);
  double legend_y = kTop + 16;
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const char* colour = kColours[i % kColours.size()];
    svg += series_svg(chart.series[i], x, y, colour);
    if (chart.series[i].name.empty()) continue;
    svg += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"5\" fill=\"{}\"/><text x=\"{}\" y=\"{}\">{}</text>\n",
                       kLeft + 16, legend_y - 4, colour, kLeft + 28, legend_y, escape(chart.series[i].name));
    legend_y += 18;
  }
  return svg + "</svg>\n";
}

}  // namespace tern
