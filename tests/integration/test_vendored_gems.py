"""A Sinatra app whose gems lie in `vendor/cache`, as `bundle package` leaves them: built without an index of gems.

The gems are made of Debian's packages of the same code.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.contracts.tiny import docker
from tests.integration.test_planned_images import Workshop, answer, needs_bases, running, workshop

from leeward.builders.recipes import RECIPES

__all__ = ["workshop"]

PACKAGES = ("sinatra", "rack", "rack-protection", "mustermann", "tilt", "ruby2-keywords", "webrick")
PACK = """
Dir["*/*.gemspec"].each do |file|
  spec = Gem::Specification.load(File.expand_path(file))
  Dir.chdir(File.dirname(file)) do
    spec.files = Dir["lib/**/*"].select { |path| File.file?(path) }
    spec.executables = []
    puts Gem::Package.build(spec, true)
    File.rename(spec.file_name, File.join("..", spec.file_name))
  end
end
"""
GEMFILE = 'source "https://rubygems.org"\n\nruby "3.1.4"\n\ngem "sinatra"\ngem "webrick"\n'
LOCK = """GEM
  remote: https://rubygems.org/
  specs:
{specs}

PLATFORMS
  ruby

DEPENDENCIES
  sinatra
  webrick

RUBY VERSION
   ruby 3.1.4p223

BUNDLED WITH
   2.3.15
"""
NEEDS = {
    "mustermann": ["ruby2_keywords (~> 0.0.1)"],
    "rack-protection": ["rack"],
    "sinatra": ["mustermann (~> 3.0)", "rack (~> 2.2, >= 2.2.4)", "rack-protection (= {version})", "tilt (~> 2.0)"],
}
APP = """require 'sinatra'

get '/colours/:name' do
  "#{params[:name]} by Sinatra #{Sinatra::VERSION}"
end
"""


def gems(folder: Path) -> list[Path]:
    """The gems, made of what Debian's mirror has of them."""
    folder.mkdir()
    names = [f"ruby-{name}" for name in PACKAGES]
    done = subprocess.run(("apt-get", "download", *names), cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"Debian's packages of gems cannot be had: {done.stderr.strip()[-200:]}")
    for deb in folder.glob("*.deb"):
        part = folder / deb.name.partition("_")[0]
        subprocess.run(("dpkg-deb", "-x", str(deb), str(part)), check=True)
        ruby = next(part.glob("usr/share/rubygems-integration/all/gems/*/lib"), part / "usr/lib/ruby/vendor_ruby")
        shutil.copytree(ruby, part / "lib")
        shutil.copy(next(part.glob("usr/share/rubygems-integration/all/specifications/*.gemspec")), part)
    (folder / "pack.rb").write_text(PACK)
    at = ("--volume", f"{folder}:/gems", "--workdir", "/gems")
    docker(
        "run", "--rm", "--network=none", *at, RECIPES["ruby3.1-build"].image, "ruby", "-rrubygems/package", "pack.rb"
    )
    return sorted(folder.glob("*.gem"))


def locked(found: list[Path]) -> str:
    """The lock file that Bundler writes for them."""
    lines = []
    for gem in found:
        name, _, version = gem.stem.rpartition("-")
        lines.append(f"    {name} ({version})")
        lines += [f"      {each.format(version=version)}" for each in NEEDS.get(name, [])]
    return LOCK.format(specs="\n".join(lines))


async def test_a_sinatra_app_with_gems_of_its_own_answers(workshop: Workshop, tmp_path: Path) -> None:
    needs_bases("ruby", "ruby3.1", "ruby3.1-build")
    await workshop.builder.bases.ensure(["ruby3.1-build"], lambda line: None)
    found = gems(tmp_path / "gems")
    cache = workshop.tree / "vendor" / "cache"
    cache.mkdir(parents=True)
    for gem in found:
        shutil.copy(gem, cache)
    for name, text in {"Gemfile": GEMFILE, "Gemfile.lock": locked(found), "app.rb": APP}.items():
        (workshop.tree / name).write_text(text)

    plan, built = await workshop.build()

    assert plan.start_command == "bundle exec ruby app.rb -o 0.0.0.0 -p $PORT"
    with running(plan, built.id) as url:
        said = await answer(f"{url}/colours/teal")
    assert (said.status_code, said.text) == (200, "teal by Sinatra 3.0.5")
