Gem::Specification.new do |spec|
  spec.name = "colours"
  spec.version = "0.1.0"
  spec.summary = "Two of them"
  spec.authors = ["Leeward"]
  spec.files = ["lib/colours.rb"]
end
