import gradio

demo = gradio.Interface(lambda name: f"Hello {name}", "text", "text")

if __name__ == "__main__":
    demo.launch()
