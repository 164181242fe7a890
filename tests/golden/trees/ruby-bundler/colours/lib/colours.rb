module Colours
  ALL = %w[blue green].freeze
end
