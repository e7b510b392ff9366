// SPDX-License-Identifier: MIT
#include "bench/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

namespace tern {

namespace {

using Json = nlohmann::ordered_json;

Json complete_event(const std::string& name, std::string_view category, double begin_us, double end_us,
                    int row) {
  return {{"name", name}, {"cat", category}, {"ph", "X"}, {"ts", begin_us}, {"dur", end_us - begin_us},
          {"pid", 1},     {"tid", row}};
}

std::string layer_name(int64_t layer) {
  return layer < 0 ? "outside of layers" : fmt::format("layer {}", layer);
}

}  // namespace

Json chrome_trace(const std::vector<OpEvent>& events, const std::string& process_name) {
  Json list = Json::array();
  list.push_back({{"name", "process_name"}, {"ph", "M"}, {"pid", 1}, {"args", {{"name", process_name}}}});
  list.push_back(
      {{"name", "thread_name"}, {"ph", "M"}, {"pid", 1}, {"tid", 1}, {"args", {{"name", "layers"}}}});
  list.push_back({{"name", "thread_name"}, {"ph", "M"}, {"pid", 1}, {"tid", 2}, {"args", {{"name", "ops"}}}});
  for (size_t begin = 0; begin < events.size();) {
    size_t end = begin;
    while (end < events.size() && events[end].layer == events[begin].layer) ++end;
    list.push_back(complete_event(layer_name(events[begin].layer), "layer", events[begin].begin_us,
                                  events[end - 1].end_us, 1));
    begin = end;
  }
  for (const OpEvent& event : events) {
    Json op =
        complete_event(std::string(event.name), op_class_name(event.op), event.begin_us, event.end_us, 2);
    const double us = event.end_us - event.begin_us;
    op["args"] = {{"layer", event.layer}, {"rows", event.rows}, {"bytes", event.bytes}};
    if (us > 0) op["args"]["gb_per_second"] = event.bytes / us * 1e-3;
    if (us > 0 && event.operations > 0) op["args"]["gops"] = event.operations / us * 1e-3;
    list.push_back(std::move(op));
  }
  return {{"traceEvents", std::move(list)}, {"displayTimeUnit", "ms"}};
}

std::string folded_stacks(const std::vector<OpEvent>& events) {
  std::map<std::pair<int64_t, std::string>, double> sums;
  for (const OpEvent& event : events)
    sums[{event.layer, std::string(event.name)}] += event.end_us - event.begin_us;
  std::string text;
  for (const auto& [key, us] : sums)
    text += fmt::format("tern;{};{} {:.0f}\n", layer_name(key.first), key.second, us);
  return text;
}

std::vector<ProfileLine> profile_lines(const std::vector<OpEvent>& events, double roof) {
  std::map<std::string, ProfileLine> by_name;
  for (const OpEvent& event : events) {
    ProfileLine& line = by_name[std::string(event.name)];
    line.name = event.name;
    ++line.calls;
    line.seconds += (event.end_us - event.begin_us) * 1e-6;
    line.bytes += event.bytes;
    line.operations += event.operations;
  }
  std::vector<ProfileLine> lines;
  for (auto& [name, line] : by_name) {
    line.is_memory_bound = line.operations > 0 && line.seconds > 0 && line.bytes / line.seconds >= 0.5 * roof;
    lines.push_back(std::move(line));
  }
  std::sort(lines.begin(), lines.end(), [](const ProfileLine& a, const ProfileLine& b) {
    return a.seconds != b.seconds ? a.seconds > b.seconds : a.name < b.name;
  });
  return lines;
}

}  // namespace tern
