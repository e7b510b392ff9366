// SPDX-License-Identifier: MIT
// The store: models come and go whole, blobs are shared, locks hold between processes and die with their
// holder.
#include "hub/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "hub/digest.h"

namespace tern::hub {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class StoreTest : public ::testing::Test {
 protected:
  StoreTest()
      : root_(fs::temp_directory_path() / fmt::format("tern-store-{}", ::getpid())),
        store_((root_ / "s").string()) {
    fs::remove_all(root_);
    EXPECT_TRUE(store_.prepare().ok());
  }
  ~StoreTest() override { fs::remove_all(root_); }

  static void write(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  /// A model whose files have these contents, its blobs in place.
  Manifest model(const std::string& name, std::vector<std::pair<std::string, std::string>> files) {
    Manifest m{name, "https://h", "o/r", "main", "c", "mit", "llama", "", "2026-01-01T00:00:00Z", {}};
    for (const auto& [path, text] : files) {
      const std::string sha = *sha256_of(text);
      write(store_.blob_path(sha), text);
      m.files.push_back({path, text.size(), sha});
    }
    return m;
  }
  std::vector<std::string> names() {
    std::vector<std::string> list, doubts;
    const auto models = store_.list(&doubts);
    EXPECT_TRUE(models.ok());
    for (const Manifest& m : *models) list.push_back(m.name);
    EXPECT_TRUE(doubts.empty());
    return list;
  }
  size_t count(const char* folder) {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(store_.root() + "/" + folder), fs::directory_iterator()));
  }

  fs::path root_;
  Store store_;
};

TEST_F(StoreTest, CommitFindRemove) {
  Manifest m = model("o/r:x", {{"m.gguf", "weights"}, {"sub/t.json", "{}"}});
  m.entry = "m.gguf";
  ASSERT_TRUE(*store_.commit(m, nullptr));
  ASSERT_TRUE(*store_.commit(m, nullptr)) << "again";
  EXPECT_THAT(names(), ElementsAre("o/r:x"));
  const auto found = store_.find("o/r:x");
  ASSERT_TRUE(found.ok() && found->has_value());
  const std::string path = *store_.model_path(**found);
  EXPECT_EQ(read(path), "weights");
  EXPECT_EQ(read(path.substr(0, path.rfind('/')) + "/sub/t.json"), "{}");
  EXPECT_TRUE(store_.check(m, nullptr).ok());
  EXPECT_FALSE(store_.find("o/r")->has_value());
  const auto removed = store_.remove("o/r:x", nullptr);
  ASSERT_TRUE(removed.ok());
  EXPECT_EQ(removed->files, 2u);
  EXPECT_TRUE(names().empty());
  EXPECT_EQ(count("blobs") + count("snapshots") + count("models"), 0u);
  EXPECT_EQ(store_.remove("o/r:x", nullptr).error().code, ErrorCode::kNotFound);
}

TEST_F(StoreTest, MovesAsAWhole) {
  Manifest m = model("a", {{"d/m.gguf", "weights"}});
  m.entry = "d/m.gguf";
  ASSERT_TRUE(*store_.commit(m, nullptr));
  fs::rename(root_ / "s", root_ / "elsewhere");
  const Store moved((root_ / "elsewhere").string());
  EXPECT_EQ(read(*moved.model_path(m)), "weights");
}

TEST_F(StoreTest, SharedBlobsStay) {
  ASSERT_TRUE(*store_.commit(model("a", {{"x", "shared"}, {"y", "only a"}}), nullptr));
  ASSERT_TRUE(*store_.commit(model("b", {{"z", "shared"}}), nullptr));
  ASSERT_TRUE(*store_.commit(model("same-files", {{"z", "shared"}}), nullptr));
  EXPECT_EQ(store_.remove("a", nullptr)->files, 1u);
  EXPECT_EQ(store_.remove("b", nullptr)->files, 0u);
  EXPECT_TRUE(store_.model_path(**store_.find("same-files")).ok());
  EXPECT_EQ(store_.remove("same-files", nullptr)->files, 1u);
}

TEST_F(StoreTest, NoManifestWithoutItsBlobs) {
  const Manifest m = model("a", {{"x", "text"}});
  fs::remove(store_.blob_path(m.files[0].sha256));
  EXPECT_FALSE(*store_.commit(m, nullptr));
  EXPECT_TRUE(names().empty());
  write(store_.blob_path(m.files[0].sha256), "tex");
  EXPECT_FALSE(*store_.commit(m, nullptr)) << "of another size";
}

TEST_F(StoreTest, DamageIsNamed) {
  const Manifest m = model("a", {{"x", "text"}});
  ASSERT_TRUE(*store_.commit(m, nullptr));
  write(store_.blob_path(m.files[0].sha256), "TEXT");
  EXPECT_TRUE(store_.model_path(m).ok()) << "the size is right";
  EXPECT_THAT(store_.check(m, nullptr).error().message, HasSubstr("has changed on the disk"));
  write(store_.blob_path(m.files[0].sha256), "shorter");
  EXPECT_THAT(store_.model_path(m).error().message, HasSubstr("tern pull a heals it"));
}

TEST_F(StoreTest, UnreadableManifests) {
  ASSERT_TRUE(*store_.commit(model("a", {{"x", "text"}}), nullptr));
  write(store_.root() + "/models/b.json", "{");
  fs::copy(store_.root() + "/models/a.json", store_.root() + "/models/c.json");
  write(store_.root() + "/models/a.json.tmp-1-0", "{");
  std::vector<std::string> doubts;
  EXPECT_EQ(store_.list(&doubts)->size(), 1u);
  EXPECT_EQ(doubts.size(), 2u) << "b is broken, c is a's";
  EXPECT_FALSE(store_.find("b").ok());
  EXPECT_FALSE(store_.find("c").ok());
  EXPECT_FALSE(store_.remove_leftovers(nullptr).ok()) << "whose blobs would it keep?";
  EXPECT_EQ(store_.remove("a", nullptr)->files, 0u) << "b may use any blob";
  EXPECT_TRUE(store_.remove("b", nullptr).ok());
  EXPECT_TRUE(store_.remove("c", nullptr).ok());
  EXPECT_EQ(store_.remove_leftovers(nullptr)->files, 2u) << "the blob and the half-written manifest";
}

TEST_F(StoreTest, AbsentStoreIsEmptyAndStaysAbsent) {
  const Store none((root_ / "none").string());
  std::vector<std::string> doubts;
  EXPECT_TRUE(none.list(&doubts)->empty());
  EXPECT_FALSE(none.find("a")->has_value());
  EXPECT_FALSE(none.remove("a", nullptr).ok());
  EXPECT_EQ(none.remove_leftovers(nullptr)->files, 0u);
  EXPECT_FALSE(fs::exists(root_ / "none"));
}

TEST_F(StoreTest, NamesThatLeaveTheFolderAreNotFound) {
  write((root_ / "x.json").string(), "{}");
  for (const char* name : {"../../x", "..", "/etc/passwd", "", "a/../b"})
    EXPECT_FALSE(store_.find(name)->has_value()) << name;
}

TEST_F(StoreTest, LeftoversOfOthersAtWorkStay) {
  write(store_.partial_path("busy"), "1234");
  write(store_.partial_path("dead"), "1234");
  write(store_.partial_path("dead.journal"), "x");
  write(store_.blob_path(std::string(64, 'e')), "unused");
  {
    auto lock = FileLock::try_acquire(store_.partial_path("busy.lock"));
    ASSERT_TRUE(lock.ok() && lock->has_value());
    EXPECT_EQ(store_.remove_leftovers(nullptr)->files, 3u);
    EXPECT_TRUE(fs::exists(store_.partial_path("busy")));
  }
  EXPECT_EQ(store_.remove_leftovers(nullptr)->files, 1u);
  EXPECT_EQ(count("partial"), 0u);
}

TEST_F(StoreTest, LocksExcludeAndDieWithTheirHolder) {
  const std::string path = store_.root() + "/test.lock";
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto lock = FileLock::try_acquire(path);
    const char answer = lock.ok() && lock->has_value() ? 'y' : 'n';
    [[maybe_unused]] const auto written = ::write(ready[1], &answer, 1);
    ::pause();
    ::_exit(0);
  }
  char answer = '?';
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  EXPECT_FALSE(FileLock::try_acquire(path)->has_value());
  const std::atomic<bool> cancel{true};
  bool has_waited = false;
  const auto cancelled = FileLock::acquire(path, &cancel, [&] { has_waited = true; });
  EXPECT_TRUE(has_waited);
  EXPECT_EQ(cancelled.error().code, ErrorCode::kCancelled);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(FileLock::try_acquire(path)->has_value()) << "the kernel gives it back";
  ::close(ready[0]);
  ::close(ready[1]);
}

// Holders remove the file while others wait for it: never two at once.
TEST_F(StoreTest, RemovedLockFilesExcludeToo) {
  const std::string path = store_.root() + "/test.lock";
  std::atomic<int> inside{0}, most{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200;) {
        auto lock = FileLock::try_acquire(path);
        if (!lock.ok() || !lock->has_value()) {
          std::this_thread::yield();
          continue;
        }
        const int now = ++inside;
        if (now > most) most = now;
        --inside;
        (*lock)->remove_file();
        ++i;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(most, 1);
}

}  // namespace
}  // namespace tern::hub
