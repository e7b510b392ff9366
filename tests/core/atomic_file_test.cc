// SPDX-License-Identifier: MIT
#include "core/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace tern {
namespace {

class AtomicFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "tern_atomic_file_" + std::to_string(::getpid());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    path_ = folder_ + "/file";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  size_t files() const {
    return std::distance(std::filesystem::directory_iterator(folder_), std::filesystem::directory_iterator());
  }
  std::string content() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string folder_, path_;
};

TEST_F(AtomicFileTest, AppearsOnlyWithCommit) {
  auto file = AtomicFile::create(path_);
  ASSERT_TRUE(file.ok()) << file.error().message;
  ASSERT_TRUE(file->write("one ").ok());
  ASSERT_TRUE(file->write("two").ok());
  EXPECT_FALSE(std::filesystem::exists(path_));
  ASSERT_TRUE(file->commit().ok());
  EXPECT_EQ(content(), "one two");
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, ReplacesOnlyWithCommit) {
  std::ofstream(path_) << "old";
  {
    AtomicFile dropped = AtomicFile::create(path_).value();
    ASSERT_TRUE(dropped.write("new").ok());
    AtomicFile moved = std::move(dropped);  // the temporary goes with the last owner, once
    EXPECT_EQ(files(), 2u);
  }
  EXPECT_EQ(content(), "old");
  EXPECT_EQ(files(), 1u);
  AtomicFile file = AtomicFile::create(path_).value();
  ASSERT_TRUE(file.write("new").ok());
  ASSERT_TRUE(file.commit().ok());
  EXPECT_EQ(content(), "new");
}

// Two writers of one target do not write into each other; the last commit wins.
TEST_F(AtomicFileTest, WritersDoNotMeet) {
  AtomicFile first = AtomicFile::create(path_).value();
  AtomicFile second = AtomicFile::create(path_).value();
  ASSERT_TRUE(first.write("first").ok());
  ASSERT_TRUE(second.write("second").ok());
  ASSERT_TRUE(second.commit().ok());
  EXPECT_EQ(content(), "second");
  ASSERT_TRUE(first.commit().ok());
  EXPECT_EQ(content(), "first");
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, TheModeFollowsTheUmask) {
  const mode_t before = ::umask(027);
  AtomicFile file = AtomicFile::create(path_).value();
  ::umask(before);
  ASSERT_TRUE(file.commit().ok());
  struct stat info{};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0640u);
}

TEST_F(AtomicFileTest, ErrorsNameThePath) {
  const auto missing = AtomicFile::create(folder_ + "/no/file");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::kIo);
  EXPECT_NE(missing.error().message.find(folder_ + "/no/file': No such file"), std::string::npos);

  std::filesystem::create_directory(path_);  // the target is a folder: only the rename can notice
  {
    AtomicFile file = AtomicFile::create(path_).value();
    const Status status = file.commit();
    ASSERT_FALSE(status.ok());
    EXPECT_NE(status.error().message.find(path_), std::string::npos);
  }
  EXPECT_EQ(files(), 1u);
}

}  // namespace
}  // namespace tern
