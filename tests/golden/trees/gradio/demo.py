import gradio as gr

demo = gr.Interface(lambda text: text, "text", "text")
demo.launch()
